# With a stand-in whose calls wait until they are released. Meanwhile another thread can collect garbage.
using CarbonTracker
using Libdl

Threads.nthreads() > 1 || error("the test needs two threads")

const standin = dlopen(ENV["CARBONTRACKER_LIB"])
const WAIT, WAITING = dlsym(standin, :standin_wait), dlsym(standin, :standin_waiting)
tell_to_wait(is_to) = ccall(WAIT, Cvoid, (Cint,), is_to)
is_waiting() = ccall(WAITING, Cint, ()) > 0

# Whether a collection ends while the call waits. If calls delay it, it ends after the call's wait has ended.
function comes_through(call)
    tell_to_wait(true)
    task = Threads.@spawn call()
    while !is_waiting() # without a task switch, so that the other thread takes it
        GC.safepoint()
    end
    GC.gc()
    came_through = is_waiting()
    tell_to_wait(false)
    wait(task)
    return came_through
end

const tracker, other = Tracker(), Tracker()
for (name, call) in (
    "create" => () -> Tracker(),
    "value" => () -> tracker["/usage/energy_j"],
    "report" => () -> report(tracker),
    "close" => () -> close(other),
)
    println(name, " ", comes_through(call))
end
