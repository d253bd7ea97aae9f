"""
Measures and forecasts the energy and CO2e of a training or time loop.

    using CarbonTracker

    Tracker(epochs = 10, location = "DK") do tracker
        for epoch in 1:10
            epoch!(tracker) do
                train_one_epoch()
            end
        end
        println(report(tracker))
    end

Begin and end read the clock and return; a thread of the library reads the energy counters.
Units are in the names: `_s` seconds, `_j` joules, `_kwh` kilowatt-hours, `_w` watts, `_g` grams of
CO2e. An unknown number is `nothing`, never 0.

The package loads the C library, see [`CarbonTracker.version`](@ref). If the library is missing, the
package warns once, and every tracker is disabled: training continues, untracked.
"""
module CarbonTracker

using Libdl

export Tracker, CarbonError
export @epoch, epoch!, epoch_begin!, epoch_end!, epoch_cancel!, progress!, run_progress!
export @phase, phase!, phase_begin!, phase_end!
export epochs, remaining, batches
export report, usage, forecast, messages, over_budget
export batch_callback, fluxtraining_callback

include("library.jl")
include("tracker.jl")
include("loops.jl")
include("phases.jl")
include("report.jl")
include("json.jl")
include("precompile.jl")

end
