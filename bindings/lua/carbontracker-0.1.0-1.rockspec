rockspec_format = "3.0"
package = "carbontracker"
version = "0.1.0-1"
source = {
  url = ".", -- `luarocks make` in this folder, or in a copy of it
}
description = {
  summary = "Measures and forecasts the energy and CO2e of a training loop",
  detailed = [[
Energy counters of processors, memory and GPUs, read by the library libcarbontracker; a forecast of the whole run after
the first epoch; grams of CO2e by zone. LuaJIT calls the library through its FFI, Lua 5.1 to 5.4 through a C module.]],
  license = "MIT",
  labels = { "energy", "machine learning", "hpc" },
}
supported_platforms = { "linux" }
dependencies = { "lua >= 5.1, < 5.5" }
external_dependencies = {
  CARBONTRACKER = { header = "carbontracker.h", library = "carbontracker" },
}
build = {
  type = "builtin",
  modules = {
    carbontracker = "carbontracker.lua",
    ["carbontracker.options"] = "carbontracker/options.lua",
    ["carbontracker.ffi"] = "carbontracker/ffi.lua",
    ["carbontracker.core"] = {
      sources = { "carbontracker/core.c" },
      libraries = { "carbontracker" },
      incdirs = { "$(CARBONTRACKER_INCDIR)" },
      libdirs = { "$(CARBONTRACKER_LIBDIR)" },
    },
  },
}
