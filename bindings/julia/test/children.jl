# Programs that run in a separate process.

"Runs Julia code in a fresh process with this environment; returns whether it exited well, and what it printed."
function child(code; environment...)
    output = IOBuffer()
    command = `$(Base.julia_cmd()) --startup-file=no --project=$(Base.active_project()) -e $code`
    variables = ("JULIA_NUM_THREADS" => "2", "JULIA_LOAD_PATH" => join(LOAD_PATH, ':'), (string(k) => v for (k, v) in environment)...)
    succeeded = withenv(variables...) do
        success(pipeline(ignorestatus(command), stdout = output, stderr = output))
    end
    return succeeded, String(take!(output))
end
