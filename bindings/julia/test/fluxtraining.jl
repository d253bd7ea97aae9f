@testset "FluxTraining that is not loaded" begin
    @test_throws ErrorException("fluxtraining_callback: load FluxTraining first") fluxtraining_callback(Tracker(nothing))
end

# The real package cannot be installed everywhere, Julia before 1.9 loads no extensions, and a mock is no weak
# dependency. So the test includes the extension beside the mock.
include("mock/FluxTraining.jl")
let extension = joinpath(@__DIR__, "..", "ext", "CarbonTrackerFluxTrainingExt.jl")
    source = read(extension, String)
    include_string(@__MODULE__, replace(source, "using FluxTraining" => "using ..FluxTraining"), extension)
end

fit!(step, callback, epochs) = FluxTraining.fit!(step, callback, epochs, 1:4)

@testset "FluxTraining" begin
    simulated() do tracker
        callback = fluxtraining_callback(tracker)
        fit!(_ -> nothing, callback, 3)
        @test epochs_done(tracker) == 3

        # A skipped epoch and a cancelled fit do not count; another epoch may follow both.
        fit!(batch -> batch == 2 && throw(FluxTraining.CancelEpochException()), callback, 2)
        @test epochs_done(tracker) == 3
        failure, = thrown(() -> fit!(_ -> throw(FluxTraining.CancelFittingException()), callback, 2))
        @test failure isa FluxTraining.CancelFittingException
        fit!(_ -> nothing, callback, 1)
        @test epochs_done(tracker) == 4
        # The step may end its epoch itself.
        fit!(batch -> batch == 4 && epoch_end!(tracker), callback, 1)
        @test epochs_done(tracker) == 5
    end

    simulated() do tracker
        marks = Float64[]
        callback = fluxtraining_callback(tracker; batches = 4)
        fit!(_ -> push!(marks, something(tracker["/run/progress"], 0)), callback, 2)
        @test marks == [0, 0.25, 0.5, 0.75, 0, 0.25, 0.5, 0.75]
    end

    simulated() do tracker
        callback = fluxtraining_callback(tracker; phases = FluxTraining.Phases.Phase)
        fit!(_ -> nothing, callback, 3)
        @test epochs_done(tracker) == 6
    end
end
