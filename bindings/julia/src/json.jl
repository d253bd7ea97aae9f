# Reads the JSON of the library: objects become NamedTuples, arrays become vectors, null becomes nothing.

json(text::AbstractString) = json_value(IOBuffer(text))

function json_value(io::IO)
    first = next_char(io)
    first == '{' && return json_object(io)
    first == '[' && return json_array(io)
    first == '"' && return json_text(io)
    return json_word(io)
end

# Returns the next character that is not white space, without reading it.
function next_char(io::IO)
    skipchars(isspace, io)
    return peek(io, Char)
end

# Reads the items between brackets, separated by commas, until `read_item` returns false.
function each_item(read_item, io::IO, closing::Char)
    read(io, Char)
    while next_char(io) != closing
        read_item() || return
        next_char(io) == ',' && read(io, Char)
    end
    read(io, Char)
    return
end

function json_pair(io::IO)
    name = Symbol(json_text(io))
    next_char(io)
    read(io, Char) # the colon
    return name, json_value(io)
end

function json_object(io::IO)
    names, values = Symbol[], Any[]
    each_item(io, '}') do
        name, value = json_pair(io)
        push!(names, name)
        push!(values, value)
        return true
    end
    return NamedTuple{Tuple(names)}(Tuple(values))
end

function json_array(io::IO)
    items = Any[]
    each_item(io, ']') do
        push!(items, json_value(io))
        return true
    end
    return map(identity, items) # gives the vector the type of its items
end

const ESCAPED = Dict('n' => '\n', 't' => '\t', 'r' => '\r', 'b' => '\b', 'f' => '\f')

# The library uses \u only for control characters below the space, never for half a character.
function json_text(io::IO)
    text = IOBuffer()
    read(io, Char)
    while (c = read(io, Char)) != '"'
        if c == '\\'
            c = read(io, Char)
            c = c == 'u' ? Char(parse(UInt32, String(read(io, 4)), base = 16)) : get(ESCAPED, c, c)
        end
        print(text, c)
    end
    return String(take!(text))
end

function json_word(io::IO)
    word = IOBuffer()
    while !eof(io) && !(peek(io, Char) in ",]} \n\r\t")
        print(word, read(io, Char))
    end
    text = String(take!(word))
    text == "null" && return nothing
    text in ("true", "false") && return text == "true"
    whole = tryparse(Int, text)
    return whole === nothing ? parse(Float64, text) : whole
end
