threads_here() = length(readdir("/proc/self/task"))

function memory_mb()
    line = first(Iterators.filter(startswith("VmRSS"), eachline("/proc/self/status")))
    return parse(Int, split(line)[2]) / 1024
end

# In a separate function, so that no variable refers to them.
@noinline function lose_trackers(n)
    for i in 1:n
        tracker = Tracker(SIMULATED)
        i % 2 == 0 && epoch_begin!(tracker)
    end
end

@testset "lifetime" begin
    @testset "closing" begin
        tracker = simulated()
        @test isopen(tracker) && occursin("open", string(tracker))
        epoch_begin!(tracker)
        before = threads_here()
        close(tracker)
        @test soon(() -> threads_here() < before)
        @test !isopen(tracker)
        close(tracker)
        finalize(tracker)
        # From now on the tracker is disabled.
        @test epoch!(() -> 42, tracker) == 42 && report(tracker) == ""
        epoch_begin!(tracker)
        @test tracker["/usage/energy_j"] === nothing

        tracker = simulated()
        finalize(tracker)
        @test !isopen(tracker) && tracker["/pue"] === nothing
        close(tracker)
    end

    @testset "deepcopy is the same tracker" begin
        tracker = simulated(epochs = 3)
        @test deepcopy(tracker) === tracker
        state = (best = 1.0, trackers = Any[tracker], train = () -> epoch!(() -> 42, tracker))
        copied = deepcopy(state)
        @test copied.trackers !== state.trackers && copied.trackers[1] === tracker
        @test copied.train() == 42 && epochs_done(tracker) == 1
        close(copied.trackers[1])
        @test !isopen(tracker) && string(tracker) == "CarbonTracker.Tracker(closed or disabled)"
        close(tracker)
        # The original has no reference left, and lives as long as its copy.
        lost() = deepcopy(Ref(simulated()))
        kept = lost()
        GC.gc()
        @test isopen(kept[]) && epoch!(() -> 1, kept[]) == 1
        close(kept[])
    end

    @testset "a serialized copy of a tracker" begin
        tracker = simulated(epochs = 3)
        function sent(value)
            stream = IOBuffer()
            serialize(stream, value)
            return deserialize(seekstart(stream))
        end
        # A copy of every field, with the pointer, as packages that save data may make it.
        bare(value) = invoke(Base.deepcopy_internal, Tuple{Any,IdDict}, value, IdDict())
        for copied in (sent(tracker), sent([tracker])[1], bare(tracker))
            @test !isopen(copied) && string(copied) == "CarbonTracker.Tracker(a copy, closed)"
            calls = [
                () -> epoch!(() -> 1, copied), () -> foreach(identity, epochs(copied, 2)), () -> epoch_begin!(copied),
                () -> report(copied), () -> copied["/pue"], () -> messages(copied), () -> progress!(copied, 1, 2),
            ]
            for call in calls
                failure, = thrown(call)
                @test failure isa CarbonError && failure.status == CarbonTracker.CT_EFORK
                @test occursin("in the process that made it", sprint(showerror, failure))
            end
            close(copied)
            finalize(copied)
            @test isopen(tracker)
        end
        @test epoch!(() -> 1, tracker) == 1 && epochs_done(tracker) == 1
        close(tracker)
        disabled = sent(Tracker(nothing))
        @test !isopen(disabled) && epoch!(() -> 2, disabled) == 2
    end

    @testset "10,000 lost trackers" begin
        lose_trackers(250) # memory that a first batch leaves allocated
        GC.gc()
        threads, memory = threads_here(), memory_mb()
        for _ in 1:40
            lose_trackers(250)
            GC.gc()
        end
        GC.gc()
        @test soon(() -> threads_here() <= threads + 8)
        @test memory_mb() < memory + 200
    end

    @testset "called and closed at once" begin
        for round in 1:20
            tracker = simulated(epochs = 10)
            calls = [
                () -> epoch!(() -> nothing, tracker),
                () -> tracker["/usage/energy_j"],
                () -> report(tracker, :json),
                () -> messages(tracker),
                () -> isodd(round) ? close(tracker) : finalize(tracker),
            ]
            tasks = [Threads.@spawn (for _ in 1:5; thrown(call); end) for call in calls]
            foreach(wait, tasks)
            @test !isopen(tracker)
        end
    end

    @testset "several threads share a tracker" begin
        simulated() do tracker
            Threads.@threads for _ in 1:20
                tracker["/usage/energy_j"]
                thrown(() -> epoch!(() -> nothing, tracker)) # an epoch of another thread may be open
                progress_error, = thrown(() -> progress!(tracker, 1, 0))
                @test progress_error.message == "ct_progress: 1 of 0: expected done <= total and total > 0"
            end
            @test epochs_done(tracker) >= 1
        end
    end

    @testset "exit with open epochs, lost trackers and busy threads" begin
        code = """
        using CarbonTracker
        trackers = [Tracker("$SIMULATED") for _ in 1:20]
        foreach(epoch_begin!, trackers)
        Threads.@spawn while true
            for tracker in trackers
                progress!(tracker, 1, 2)
                tracker["/usage/energy_j"]
            end
        end
        sleep(0.2)
        foreach(_ -> Tracker("$SIMULATED"), 1:20)
        println("at its end")
        """
        for _ in 1:3
            succeeded, output = child(code)
            @test succeeded && output == "at its end\n"
        end
    end

    @testset "no library" begin
        code = """
        using CarbonTracker
        using CarbonTracker
        println(CarbonTracker.version())
        for _ in 1:2
            Tracker(epochs = 2, unheard_of = true) do tracker
                println([epoch!(() -> epoch, tracker) for epoch in 1:2], isopen(tracker))
            end
        end
        """
        succeeded, output = child(code; CARBONTRACKER_LIB = "/nowhere/libcarbontracker.so.0")
        @test succeeded
        @test endswith(output, "nothing\n[1, 2]false\n[1, 2]false\n")
        @test length(collect(eachmatch(r"Warning", output))) == 1
        @test occursin("/nowhere/libcarbontracker.so.0", output) && occursin("CARBONTRACKER_LIB", output)
    end
end
