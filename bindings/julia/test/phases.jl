entries(tracker, path) = something(tracker["/phases/rows/$path/entries"], 0)

# Whether no phase is open; the call itself changes nothing then.
function none_open(tracker)
    failure, = thrown(() -> phase_end!(tracker))
    return failure isa CarbonError && failure.status == CarbonTracker.CT_ESTATE
end

# The ways out of a block, in a function as in a user's program.
function leave_by(tracker, way)
    total = 0
    for pass in 1:3
        @phase tracker "left" begin
            total += pass
            way === :continue && continue
            way === :break && break
            way === :return && return -total
            way === :throw && error("mine")
        end
    end
    return total
end

function mark_phases(tracker, n)
    total = 0
    for step in 1:n
        phase_begin!(tracker, "step")
        @phase tracker "solve" total += step
        phase_end!(tracker)
    end
    return total
end

@testset "phases" begin
    @testset "time and energy" begin
        simulated() do tracker
            epoch!(tracker) do
                @test phase!(() -> (sleep(0.03); "its value"), tracker, "step") == "its value"
            end
            @phase tracker "step" phase!(() -> sleep(0.03), tracker, SubString("to solve", 4))
            seconds = tracker["/phases/rows/step/duration_s"]
            @test seconds >= 0.06 && tracker["/phases/rows/step/epochs/duration_s"] >= 0.03
            @test tracker["/phases/rows/step/energy_j"] ≈ 100 * seconds rtol = 0.1
            @test 0.03 <= tracker["/phases/rows/step~1solve/duration_s"] < seconds
            @test entries(tracker, "step") == 2 && entries(tracker, "step~1solve") == 1
            @test report(tracker, NamedTuple).phases.rows[1].path == "step"
            @test tracker["/phases/rows/stop/energy_j"] === nothing
        end
    end

    @testset "begin and end" begin
        simulated() do tracker
            @test none_open(tracker)
            failure, = thrown(() -> phase_end!(tracker))
            @test occursin("no phase is open", failure.message)
            for name in ("", "n"^129, "\xff")
                failure, = thrown(() -> phase_begin!(tracker, name))
                @test failure isa CarbonError && failure.status == CarbonTracker.CT_EINVAL
                ran = false
                @test_throws CarbonError phase!(() -> (ran = true), tracker, name)
                @test !ran
            end
            foreach(_ -> phase_begin!(tracker, "deep"), 1:64)
            failure, = thrown(() -> phase_begin!(tracker, "deep"))
            @test failure.status == CarbonTracker.CT_ESTATE
            foreach(_ -> phase_end!(tracker), 1:64)
            @test none_open(tracker)
        end
        none = Tracker(nothing)
        @test phase_begin!(none, "any") === nothing && phase_end!(none) === nothing
        @test phase!(() -> 3, none, "any") == 3 && (@phase none "any" 4) == 4
    end

    @testset "every way out of a block ends its phase" begin
        simulated() do tracker
            @test leave_by(tracker, :none) == 6 && leave_by(tracker, :continue) == 6
            @test leave_by(tracker, :break) == 1 && leave_by(tracker, :return) == -1
            failure, = thrown(() -> leave_by(tracker, :throw))
            @test failure == ErrorException("mine")
            failure, trace = thrown(() -> phase!(() -> explode_in_epoch([1]), tracker, "left"))
            @test failure isa BoundsError && occursin("explode_in_epoch", as_text(trace))
            @test none_open(tracker) && entries(tracker, "left") == 10
            # A block that has ended its phase itself keeps its value, and the library reports the second end.
            @test phase!(() -> (phase_end!(tracker); 5), tracker, "ended") == 5
            @test any(message -> occursin("ct_phase_end was refused", message), messages(tracker))
            @test Tracker(other -> phase!(() -> (close(other); 6), other, "closed"), SIMULATED) == 6
        end
    end

    @testset "marks allocate nothing" begin
        simulated() do tracker
            @test mark_phases(tracker, 3) == 6
            @test (@allocated mark_phases(tracker, 1000)) == 0
        end
    end
end
