explode_in_epoch(x) = x[2]

# Counts the epochs of a tracker and sums their times.
function tracked(f; keywords...)
    simulated(; keywords...) do tracker
        f(tracker)
        settle(tracker)
        @test tracker["/usage/energy_j"] ≈ 100 * tracker["/usage/duration_s"] rtol = 1e-6
        return epochs_done(tracker), tracker["/usage/epochs/duration_s"], tracker["/usage/duration_s"]
    end
end

@testset "loops" begin
    @testset "begin and end" begin
        done, inside, whole = tracked() do tracker
            for _ in 1:3
                epoch_begin!(tracker)
                sleep(0.02)
                @test epoch_end!(tracker) === false
                sleep(0.02)
            end
        end
        @test done == 3
        @test inside >= 0.06 && whole >= inside + 0.04

        simulated() do tracker
            failure, = thrown(() -> epoch_end!(tracker))
            @test failure.status == CarbonTracker.CT_ESTATE && occursin("no epoch is open", failure.message)
            epoch_begin!(tracker)
            failure, = thrown(() -> epoch_begin!(tracker))
            @test failure.status == CarbonTracker.CT_ESTATE && occursin("open already", failure.message)
            epoch_cancel!(tracker)
            @test_throws CarbonError epoch_cancel!(tracker)
            epoch_begin!(tracker)
            epoch_end!(tracker)
            @test epochs_done(tracker) == 1
        end
    end

    @testset "a block" begin
        done, = tracked() do tracker
            @test epoch!(() -> "its value", tracker) == "its value"
            failure, trace = thrown(() -> epoch!(() -> explode_in_epoch([1]), tracker))
            @test failure isa BoundsError && failure.i == (2,)
            @test occursin("explode_in_epoch", as_text(trace))
            # The epoch was cancelled, so the next one may begin.
            @test epoch!(() -> 2, tracker) == 2
            # The block may end or cancel its epoch itself.
            @test epoch!(() -> (epoch_end!(tracker); 3), tracker) == 3
            @test epoch!(() -> (epoch_cancel!(tracker); 4), tracker) == 4
            failure, = thrown(() -> epoch!(() -> (epoch_cancel!(tracker); error("mine")), tracker))
            @test failure == ErrorException("mine")
            # The block keeps its value even if it closes the tracker.
            @test Tracker(other -> epoch!(() -> (close(other); 5), other), SIMULATED) == 5
        end
        @test done == 3
    end

    @testset "a macro" begin
        done, = tracked() do tracker
            total = 0
            for pass in 1:3
                @test (@epoch tracker begin
                    total += pass
                    total
                end) == total
            end
            @test total == 6
            failure, trace = thrown(() -> @epoch tracker explode_in_epoch([1]))
            @test failure isa BoundsError && occursin("explode_in_epoch", as_text(trace))
            @test (@epoch tracker (epoch_end!(tracker); 4)) == 4
        end
        @test done == 4
    end

    @testset "an exception leaves the tracker closed" begin
        kept = Ref{Tracker}()
        failure, trace = thrown() do
            simulated() do tracker
                kept[] = tracker
                epoch!(() -> explode_in_epoch([1]), tracker)
            end
        end
        @test failure isa BoundsError && occursin("explode_in_epoch", as_text(trace))
        @test !isopen(kept[])
    end

    @testset "iteration" begin
        done, = tracked() do tracker
            @test [epoch for epoch in epochs(tracker, 3)] == 1:3
            @test [item for item in epochs(tracker, (:a, :b))] == [:a, :b]
        end
        @test done == 5
        simulated() do tracker
            matrix = [1 2; 3 4]
            @test length(epochs(tracker, 3)) == 3 && eltype(epochs(tracker, 3)) == Int
            @test length(batches(tracker, matrix)) == 4 && size(batches(tracker, matrix)) == (2, 2)
            @test eltype(batches(tracker, ["a"])) == String && collect(batches(tracker, matrix)) == matrix
            @test Base.IteratorSize(batches(tracker, (i for i in 1:3 if i > 1))) == Base.SizeUnknown()
            @test length(sprint(show, batches(tracker, zeros(1000)))) < 40
        end
        # After break or an exception, the next epoch cancels the open one.
        done, = tracked() do tracker
            for epoch in epochs(tracker, 3)
                epoch == 2 && break
            end
            @test tracker["/run/epochs_done"] == 1
            failure, = thrown(() -> foreach(_ -> error("mine"), epochs(tracker, 3)))
            @test failure == ErrorException("mine")
            epoch!(() -> nothing, tracker)
            for epoch in epochs(tracker, 5)
                epoch_end!(tracker) # an explicit end: validation is between epochs, and the pass counts
                epoch == 2 && break
            end
            epoch_begin!(tracker)
            @test_throws CarbonError epoch_begin!(tracker)
            epoch_end!(tracker)
        end
        @test done == 5
    end

    @testset "an epoch inside another is reported, and a loop that ends its own is not" begin
        reported(tracker) = count(message -> occursin("ct_epoch_begin was refused once", message), messages(tracker))
        simulated() do tracker
            foreach(_ -> epoch_end!(tracker), epochs(tracker, 2))
            @test epochs_done(tracker) == 2 && reported(tracker) == 0
            for _ in epochs(tracker, 2)
                for _ in epochs(tracker, 2)
                end
            end
            @test epochs_done(tracker) == 6 && reported(tracker) == 1
            notes = report(tracker, NamedTuple).notes
            @test any(note -> startswith(note, "ct_epoch_begin was refused 2 times"), notes)
        end
        # Allowed calls leave no note.
        simulated() do tracker
            epoch!(() -> epoch_end!(tracker), tracker)
            thrown(() -> epoch!(() -> (epoch_end!(tracker); error("mine")), tracker))
            thrown(() -> epoch!(() -> (epoch_cancel!(tracker); error("mine")), tracker))
            foreach(identity, batches(tracker, 1:3))
            callback = batch_callback(tracker, 2)
            foreach(_ -> callback(), 1:4)
            callback = batch_callback(tracker, 2)
            epoch_cancel!(tracker)
            foreach(_ -> callback(), 1:2)
            epoch_begin!(tracker)
            epoch_end!(tracker)
            @test !any(note -> occursin("refused", note), report(tracker, NamedTuple).notes)
            @test !any(message -> occursin("refused", message), messages(tracker))
        end
    end

    @testset "progress of the run" begin
        simulated() do tracker
            for step in 0:50
                @test run_progress!(tracker, step / 10, 5) == false
                sleep(0.002)
            end
            @test run_progress!(tracker, 1, 5) == false # less than before is ignored
            @test tracker["/run/work/done"] == 5
            @test tracker["/usage/energy_j"] > 0 && tracker["/usage/duration_s"] > 0.05
            failure, = thrown(() -> run_progress!(tracker, NaN, 5))
            @test failure.status == CarbonTracker.CT_EINVAL
        end
        simulated(budget_h = 1e-9) do tracker
            run_progress!(tracker, 0, 3)
            sleep(0.01)
            run_progress!(tracker, 3, 3)
            @test tracker["/usage/duration_s"] > 0 # the verdict is made with it
            @test run_progress!(tracker, 3, 3) && over_budget(tracker)
        end
    end

    @testset "progress" begin
        simulated(epochs = 2) do tracker
            @test_throws CarbonError progress!(tracker, 1, 2)
            epoch!(tracker) do
                progress!(tracker, 1, 4)
                @test tracker["/run/progress"] == 0.25
                failure, = thrown(() -> progress!(tracker, 3, 2))
                @test failure.status == CarbonTracker.CT_EINVAL
            end
            seen = Float64[]
            for item in batches(tracker, [:a, :b]) # without an epoch there is no progress to set
                push!(seen, something(tracker["/run/progress"], -1))
            end
            epoch!(tracker) do
                for item in batches(tracker, 1:4)
                    push!(seen, something(tracker["/run/progress"], -1))
                end
                push!(seen, tracker["/run/progress"])
                @test length([item for item in batches(tracker, (i for i in 1:4 if i > 2))]) == 2
            end
            @test seen == [-1, -1, -1, 0.25, 0.5, 0.75, 1]
        end
    end

    @testset "a callback after every batch" begin
        done, = tracked(epochs = 3) do tracker
            after_batch = batch_callback(tracker, 4)
            for batch in 1:11
                @test after_batch() === nothing
                batch == 10 && @test tracker["/run/progress"] == 0.5
            end
            after_batch = batch_callback(tracker, 2) # cancels the epoch of the other callback
            after_batch(:any, "argument")
            after_batch()
        end
        @test done == 3
        @test_throws ArgumentError batch_callback(Tracker(nothing), 0)
    end

    @testset "a resumed run does the remaining epochs" begin
        mktempdir() do folder
            options = (epochs = 5, resume = folder, name = "part")
            done = simulated(tracker -> foreach(identity, epochs(tracker, 2)); options...)
            simulated(; options...) do tracker
                @test [epoch for epoch in remaining(tracker, 5)] == [3, 4, 5]
                @test epochs_done(tracker) == 5 && isempty(remaining(tracker, 5))
            end
        end
        @test [epoch for epoch in remaining(Tracker(nothing), 2)] == [1, 2]
    end

    # The body of a user's loop is in a function, as Julia's manual advises.
    function mark_often(tracker, n)
        for step in 1:n
            epoch_begin!(tracker)
            progress!(tracker, step, n)
            epoch_end!(tracker)
            run_progress!(tracker, step, n)
        end
    end

    function sum_in_epochs(tracker, items)
        total = 0.0
        for _ in epochs(tracker, 2), item in batches(tracker, items)
            total += item
        end
        @epoch tracker for item in items
            total += item
        end
        return total
    end

    @testset "marks allocate nothing" begin
        simulated() do tracker
            items = collect(1.0:1000.0)
            @test sum_in_epochs(tracker, items) == 3 * sum(items)
            mark_often(tracker, 1)
            @test (@allocated mark_often(tracker, 1000)) == 0
            @test (@allocated sum_in_epochs(tracker, items)) <= 256 # the iterators, once
        end
    end

    @testset "budgets" begin
        simulated(epochs = 1000, budget_h = 1e-6) do tracker
            @test !over_budget(tracker)
            # The forecast uses epochs whose readings are complete.
            for _ in 1:1000
                epoch_begin!(tracker)
                sleep(0.01)
                epoch_end!(tracker) && break
            end
            @test over_budget(tracker)
            @test epochs_done(tracker) < 1000
            @test any(message -> occursin("budget_h", message), messages(tracker))
        end
        simulated(epochs = 1000, budget_h = 1000) do tracker
            foreach(_ -> sleep(0.01), epochs(tracker, 5))
            settle(tracker)
            @test !epoch!(() -> over_budget(tracker), tracker)
            @test !over_budget(tracker)
        end
    end
end
