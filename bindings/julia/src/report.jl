# Numbers, reports and messages of a tracker.

"""
    tracker[pointer] -> Union{Float64, Nothing}
    get(tracker, pointer, default)

One number of the report by its JSON Pointer: `tracker["/usage/energy_j"]`,
`tracker["/forecast/energy_j/high"]`, `tracker["/epochs/0/duration_s"]` (JSON counts from 0),
`tracker["/epochs/length"]` (the number of a list's entries). If the number is unknown or does not exist
yet, the result is `nothing` or the default. It waits up to 1 s for the last epoch's reading. Throws
[`CarbonError`](@ref) for a pointer that no report has.
"""
Base.getindex(tracker::Tracker, pointer::AbstractString) = get(tracker, pointer, nothing)

function Base.get(tracker::Tracker, pointer::AbstractString, default)
    name, number = String(pointer), Ref(NaN)
    status = GC.@preserve name number begin
        text = Base.unsafe_convert(Cstring, name)
        out = Base.unsafe_convert(Ptr{Float64}, number)
        attempt(tracker) do ptr
            @gc_safe ccall(lib.ct_value, Int32, (Ptr{Cvoid}, Cstring, Ptr{Float64}), ptr, text, out)
        end
    end
    (status == CT_ENOENT || status == CT_DISABLED) && return default
    check(status)
    return number[]
end

"""
    tracker[pointer, String] -> Union{String, Nothing}

One value of the report by its JSON Pointer: a text as it is, such as `tracker["/intensity/zone", String]`;
anything else as JSON, such as `tracker["/components", String]`. If the value is unknown or does not exist
yet, the result is `nothing`. Throws [`CarbonError`](@ref) for a pointer that no report has.
"""
function Base.getindex(tracker::Tracker, pointer::AbstractString, ::Type{String})
    name = String(pointer)
    return GC.@preserve name begin
        chosen = Base.unsafe_convert(Cstring, name)
        take_text(tracker) do ptr, buffer, size, needed
            @gc_safe ccall(lib.ct_text, Int32, (Ptr{Cvoid}, Cstring, Ptr{UInt8}, Csize_t, Ptr{Csize_t}),
                           ptr, chosen, buffer, size, needed)
        end
    end
end

"""
    report(tracker, format = :text) -> String
    report(tracker, NamedTuple)

The report as `:text`, `:json`, `:csv` (a row per epoch), `:prometheus` or `:html`. A `NamedTuple` has the
sections and fields of the JSON report:

    report(tracker, NamedTuple).usage.energy_j

Its `.epochs` is a vector of `NamedTuple`s, which DataFrames.jl and others accept as a table. The report
of a disabled tracker is empty, or `nothing`. Throws [`CarbonError`](@ref) for an unknown format.
"""
function report(tracker::Tracker, format::Union{AbstractString,Symbol} = :text)
    name = String(format)
    return GC.@preserve name begin
        chosen = Base.unsafe_convert(Cstring, name)
        text = take_text(tracker) do ptr, buffer, size, needed
            @gc_safe ccall(lib.ct_report, Int32, (Ptr{Cvoid}, Cstring, Ptr{UInt8}, Csize_t, Ptr{Csize_t}),
                           ptr, chosen, buffer, size, needed)
        end
        something(text, "")
    end
end

function report(tracker::Tracker, ::Type{NamedTuple})
    text = report(tracker, :json)
    return isempty(text) ? nothing : json(text)
end

"""
    usage(tracker) -> Union{NamedTuple, Nothing}

The usage of the run so far: the section `usage` of the report, with `duration_s`, `energy_j`,
`co2eq_g` and more. A pointer is faster for a single number: `tracker["/usage/energy_j"]`.
"""
usage(tracker::Tracker) = section(tracker, "/usage")

"""
    forecast(tracker) -> Union{NamedTuple, Nothing}

The forecast of the whole run: the section `forecast` of the report, with `value`, `low` and `high` of
`duration_s`, `energy_j` and `co2eq_g`. The part `remaining` has the same fields. The result is
`nothing` as long as there is no forecast. A forecast needs the option `epochs`, or
[`run_progress!`](@ref).
"""
forecast(tracker::Tracker) = section(tracker, "/forecast")

function section(tracker::Tracker, pointer::AbstractString)
    text = tracker[pointer, String]
    return text === nothing ? nothing : json(text)
end

"""
    messages(tracker) -> Vector{String}

Takes the messages since the last call: devices that are not measured and the fix, a forecast, an
exceeded budget. It waits a few milliseconds for the reading that closes the last epoch.
"""
function messages(tracker::Tracker)
    taken = String[]
    while true
        text = take_text(tracker) do ptr, buffer, size, needed
            # It waits a few milliseconds for the last epoch's reading.
            @gc_safe ccall(lib.ct_message, Int32, (Ptr{Cvoid}, Ptr{UInt8}, Csize_t, Ptr{Csize_t}),
                           ptr, buffer, size, needed)
        end
        text === nothing && return taken
        push!(taken, text)
    end
end

# Logs from the calling task, so that its logger receives the messages.
log_messages(tracker::Tracker) = foreach(message -> @info("carbontracker: $message"), messages(tracker))

# Returns the text that a call writes into a buffer, or nothing if there is none. The buffer grows until the text fits.
function take_text(f::F, tracker::Tracker) where {F}
    text, needed = Vector{UInt8}(undef, 4096), Ref{Csize_t}(0)
    while true
        status = GC.@preserve text needed begin
            buffer, size = pointer(text), length(text)
            out = Base.unsafe_convert(Ptr{Csize_t}, needed)
            attempt(ptr -> f(ptr, buffer, size, out), tracker)
        end
        (status == CT_ENOENT || status == CT_DISABLED) && return nothing
        status == CT_ERANGE || check(status)
        resize!(text, status == CT_ERANGE ? needed[] : needed[] - 1)
        status == CT_ERANGE || return String(text)
    end
end
