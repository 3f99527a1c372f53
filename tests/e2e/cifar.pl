#!/usr/bin/perl
# cifar.pl FOLDER COUNT: batches in the binary format of CIFAR-10 (a record is a label and the red, green and blue planes of
# 32 by 32 bytes), of pictures whose class can be seen: class c is bright in row band c of the plane c % 3, on noise.
use strict;
my ($folder, $count) = @ARGV;
my $noise = 1;
sub byte { $noise = ($noise * 1103515245 + 12345) & 0x7fffffff; ($noise >> 16) & 63 }
for my $name ('data_batch_1', 'data_batch_2', 'test_batch') {
  open my $out, '>:raw', "$folder/$name.bin" or die "$folder/$name.bin: $!";
  for my $k (0 .. $count - 1) {
    my $class = ($k * 7 + 3) % 10;
    my @pixels = map { byte() } 1 .. 3072;
    my $start = ($class % 3) * 1024 + int(3.2 * $class) * 32;
    $pixels[$_] += 150 for $start .. $start + 95;
    print $out pack 'C*', $class, @pixels;
  }
  close $out or die;
}
