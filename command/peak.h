#ifndef NNC_PEAK_H
#define NNC_PEAK_H

/* The most f32 multiply-adds that this machine does per second on so many threads, each counted as two operations: what
 * compiled code is measured against. 0 where there is no probe for the processor. Takes about a fifth of a second. */
double measure_peak(int threads);

#endif
