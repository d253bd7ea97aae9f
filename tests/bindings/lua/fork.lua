-- A forked process uses the tracker of its parent. Only LuaJIT can fork without another module.
local check = require "check"
local ct = require "carbontracker"
local ffi = require "ffi"
ffi.cdef "int fork(void); int waitpid(int pid, int *status, int options); void _exit(int status);"

local t = ct.new(check.STEADY)
local forgotten = ct.new(check.STEADY)
t:epoch_begin()
local pid = ffi.C.fork()
if pid == 0 then
  local fine, problem = pcall(function()
    check.raises("create in the child", t.epoch_end, t)
    check.raises("parent process", t.epoch, t, print)
    check.equal(tostring(t), "carbontracker: efork")
    t:close()
    forgotten = nil
    collectgarbage()
    local own = ct.new(check.STEADY)
    for _ in own:epochs(3) do end
    check.equal(own:value "/run/epochs_done", 3)
    own:close()
  end)
  if not fine then io.stderr:write(problem, "\n") end
  ffi.C._exit(fine and 0 or 1)
end
local status = ffi.new "int[1]"
ffi.C.waitpid(pid, status, 0)
check.equal(status[0], 0)
t:epoch_end()
check.equal(t:value "/run/epochs_done", 1)
t:close()
print "passed"
