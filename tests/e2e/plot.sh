# nnc plot: several logs in one picture; what no log is, is told.
. "$(dirname "$0")/common.bash"
plot() { "$NNC" plot "$@"; }
printf 'epoch,step,seconds,loss,acc,valid loss,valid acc\n1,9,0.1,2,0.3,2.5,0.2\n2,18,0.1,1,0.6,1.5,0.5\n' > a.csv
printf 'epoch,step,seconds,loss\n1,9,0.1,3\n2,18,0.1,2\n3,27,0.1,1.5\n' > b0.5.csv

expect 0 '' plot a.csv 'lr=1 & more=b0.5.csv' -o both.svg
[ "$(grep -o '<g transform' both.svg | grep -c '')" = 2 ] || fail 'there is not one chart for loss and one for acc'
for text in '>a<' '>lr=1 &amp; more<' '>loss; dashed: training' '>acc; dashed: training' '>epoch<'; do
  grep -qF -- "$text" both.svg || fail "both.svg lacks $text"
done
curves() { grep -o "<path class=\"curve$1\" stroke=\"[^\"]*\" d=\"[^h\"]*\"" "$2" | cut -d '"' -f 4; } # their colors
[ "$(curves ' dashed' both.svg | sort | uniq -c | awk '{ print $1 }')" = 2 ] || fail "a's training is not dashed in one color"
[ "$(curves '' both.svg | sort -u | grep -c '')" = 2 ] || fail 'two runs have not two colors'
expect 0 '' plot b0.5.csv -o one.svg
grep -qF '>b0.5<' one.svg || fail 'the legend does not have the name of the file'
! grep -qE 'class="curve dashed"|dashed: training' one.svg || fail 'without held-out rows something is dashed'
expect 0 '' bash -c "'$NNC' plot a.csv -o - --columns acc > acc.svg"
[ "$(grep -o '<g transform' acc.svg | grep -c '')" = 1 ] || fail '--columns acc is not one chart'
printf 'width,error\n1,2\n2,1\n' > plain.csv
expect 0 '>width<' plot plain.csv -o -
cp a.csv 'x=y.csv'
expect 0 '>x=y<' plot x=y.csv -o -

printf 'epoch,loss\n1,2\n2,0.01\n' > far.csv
expect 0 '>loss (logarithmic)<' plot far.csv -o -
expect 0 '>loss<' plot far.csv -o - --linear

expect 2 'plot wants logs' plot a.csv
expect 2 'plot wants logs' plot -o x.svg
expect 2 'a picture of curves is an .svg' plot a.csv -o x.png
expect 2 'cannot read' plot absent.csv -o x.svg
expect 2 "no log has numbers called 'speed'" plot a.csv --columns loss,speed -o x.svg
expect 2 'too many for one picture' plot a.csv a.csv a.csv a.csv a.csv a.csv a.csv -o x.svg
printf '1,2\n3,4\n' > bare.csv
expect 2 'no header' plot bare.csv -o x.svg
printf 'word,loss\na,1\nb,2\n' > words.csv
expect 2 "column 'word' holds words" plot words.csv -o x.svg
printf 'epoch,step\n1,2\n' > counts.csv
expect 2 'no column of numbers' plot counts.csv -o x.svg
absent x.svg
finish
