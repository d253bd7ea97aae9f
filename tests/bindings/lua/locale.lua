-- An application whose decimal separator is a comma.
local check = require "check"
local ct = require "carbontracker"
assert(os.setlocale "de_DE.UTF-8")
check.equal(("%.1f"):format(0.5), jit and "0.5" or "0,5")
for _, number in ipairs { 1.5, 1.1, 1.1234567890123457, 2 ^ 0.5, 1 + 2 ^ -52 } do
  local t = ct.new { sim_cpu = "x:100", components = "cpu", pue = number, interval = 0.001 }
  check.equal(t:value "/pue", number)
  t:close()
end
print "passed"
