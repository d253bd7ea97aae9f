# Compiles the usual calls with the package, so that the first epoch of a program does not wait for them.

precompile(Tracker, (String,))
precompile(Tracker, ())
# The function that takes keywords. Julia 1.9 has one for all functions.
const WITH_KEYWORDS = isdefined(Core, :kwcall) ? Core.kwcall : Core.kwfunc(Tracker)
for options in (NamedTuple{(:epochs,),Tuple{Int}}, NamedTuple{(:epochs, :location),Tuple{Int,String}})
    precompile(WITH_KEYWORDS, (options, Type{Tracker}))
end
for call in (epoch_begin!, epoch_end!, epoch_cancel!, phase_end!, over_budget, messages, usage, forecast, close, isopen, report)
    precompile(call, (Tracker,))
end
precompile(report, (Tracker, Symbol))
precompile(phase_begin!, (Tracker, String))
precompile(progress!, (Tracker, Int, Int))
precompile(run_progress!, (Tracker, Float64, Float64))
precompile(epochs, (Tracker, Int))
precompile(iterate, (Epochs{Base.OneTo{Int}},))
precompile(iterate, (Epochs{Base.OneTo{Int}}, Int))
precompile(getindex, (Tracker, String))
precompile(getindex, (Tracker, String, Type{String}))
precompile(release, (Tracker,))
