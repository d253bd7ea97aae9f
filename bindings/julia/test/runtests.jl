# Runs by `Pkg.test("CarbonTracker")`, or with the package on the load path. JULIA_NUM_THREADS=2 covers the most.
using CarbonTracker
using Serialization
using Test

include("children.jl")

# A constant 100 W: the energy is 100 J for each second of the duration in the report.
const SIMULATED = "sim_cpu=x:100 location=DK"

simulated(; keywords...) = Tracker(SIMULATED; keywords...)
simulated(f; keywords...) = Tracker(f, SIMULATED; keywords...)

# Waits for an event on the library's thread; returns whether it happened. A busy machine may be slow.
soon(condition) = timedwait(condition, 30.0, pollint = 0.02) === :ok

# Waits until the readings are complete. Numbers and reports wait for them too, but for 1 s at most.
settle(tracker) = @test soon(() -> tracker["/usage/coverage"] == 1)

epochs_done(tracker) = Int(tracker["/run/epochs_done"])

# The exception that a call throws, with its backtrace.
function thrown(f)
    try
        f()
    catch failure
        return failure, catch_backtrace()
    end
    return nothing, nothing
end

# A backtrace as text, on one thread at a time: Julia 1.5 crashes if two threads look up frames at once.
as_text(trace) = sprint(Base.show_backtrace, trace)

@testset "CarbonTracker" begin
    @test CarbonTracker.version() == v"0.1.0"
    include("options.jl")
    include("loops.jl")
    include("phases.jl")
    include("reports.jl")
    include("fluxtraining.jl")
    include("lifetime.jl")
end
