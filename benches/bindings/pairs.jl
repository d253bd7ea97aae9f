# As pairs.c, with the Julia package.
using CarbonTracker, Printf

function pairs_of(tracker, count)
    start = time_ns()
    for _ in 1:count
        epoch_begin!(tracker)
        epoch_end!(tracker)
    end
    return (time_ns() - start) / 2count
end

Tracker(sim_cpu = "bench:100") do tracker
    pairs_of(tracker, 100_000)
    @printf("%.1f\n", pairs_of(tracker, 1_000_000))
end
