# As player.c, with the Julia package.
using CarbonTracker, Printf

Tracker(ARGS[1]) do tracker
    for line in eachline()
        line == "quit" && break
        line == "begin" && epoch_begin!(tracker)
        line == "end" && epoch_end!(tracker)
        line == "cancel" && epoch_cancel!(tracker)
        line == "progress" && progress!(tracker, 7, 9)
        line == "value" && @printf("%.17g ", tracker["/usage/energy_j"])
        line == "text" && print(tracker["/components", String])
        line == "rest" && foreach(epoch -> print(epoch, " "), remaining(tracker, 10))
        line == "report" && print(chomp(report(tracker, "json")))
        println()
        flush(stdout)
    end
end
