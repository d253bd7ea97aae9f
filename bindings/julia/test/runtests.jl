# Run by `Pkg.test("CarbonTracker")`, or with the package on the load path. Best with JULIA_NUM_THREADS=2.
using CarbonTracker
using Serialization
using Test

include("children.jl")

# 100 W whatever happens: energy is 100 J for each second of the report's own.
const SIMULATED = "sim_cpu=x:100 location=DK"

simulated(; keywords...) = Tracker(SIMULATED; keywords...)
simulated(f; keywords...) = Tracker(f, SIMULATED; keywords...)

# Waits for what happens soon, in the library's thread; says whether it did. A busy machine takes its time.
soon(condition) = timedwait(condition, 30.0, pollint = 0.02) === :ok

# Waits until the readings are in, which numbers and reports wait for, but for 1 s only.
settle(tracker) = @test soon(() -> tracker["/usage/coverage"] == 1)

epochs_done(tracker) = Int(tracker["/run/epochs_done"])

# What a call throws, with its backtrace.
function thrown(f)
    try
        f()
    catch failure
        return failure, catch_backtrace()
    end
    return nothing, nothing
end

# A backtrace as text: for one thread at a time, as Julia 1.5 crashes when two look up their frames at once.
as_text(trace) = sprint(Base.show_backtrace, trace)

@testset "CarbonTracker" begin
    @test CarbonTracker.version() == v"0.1.0"
    include("options.jl")
    include("loops.jl")
    include("reports.jl")
    include("fluxtraining.jl")
    include("lifetime.jl")
end
