-- Shared by the programs here: checks that print their place and values.
local check = {}

local function failed(text, ...)
  error("check failed: " .. text:format(...), 3)
end

function check.that(condition, what)
  if not condition then failed("%s", what or "not so") end
end

function check.equal(actual, expected)
  if actual ~= expected then failed("%s, expected %s", tostring(actual), tostring(expected)) end
end

function check.has(text, part)
  if not tostring(text):find(part, 1, true) then failed("'%.300s' has no '%s'", tostring(text), part) end
end

function check.close(actual, expected)
  if not (actual and math.abs(actual - expected) <= 1e-9 * math.abs(expected)) then
    failed("%s, expected %s", tostring(actual), tostring(expected))
  end
end

-- Checks that f(...) raises an error that contains `part`. Returns the error.
function check.raises(part, f, ...)
  local fine, problem = pcall(f, ...)
  if fine then failed("nothing raised, expected '%s'", part) end
  if not tostring(problem):find(part, 1, true) then failed("raised '%s', expected '%s'", tostring(problem), part) end
  return problem
end

-- The caller's position, as error() writes it before a message.
function check.here()
  local info = debug.getinfo(2, "Sl")
  return info.short_src .. ":" .. info.currentline .. ": "
end

function check.pass_time(seconds)
  local stop = os.clock() + seconds
  repeat until os.clock() > stop
end

-- A constant power of 100 W, so that energy is 100 times the time. No device of this machine is read.
check.STEADY = "sim_cpu=x:100 components=cpu location=DK"

return check
