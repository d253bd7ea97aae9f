-- The functions of the library through LuaJIT's FFI. carbontracker/core.c has the same functions, and carbontracker.lua
-- is the interface.
local ffi = require "ffi"

-- The declarations of carbontracker.h; a test compares them. It is harmless to declare them twice.
ffi.cdef [[
typedef struct ct_tracker ct_tracker;
typedef int32_t ct_status;
ct_status ct_create(const char *options, ct_tracker **out);
ct_status ct_epoch_begin(ct_tracker *tracker);
ct_status ct_epoch_end(ct_tracker *tracker);
ct_status ct_epoch_cancel(ct_tracker *tracker);
ct_status ct_phase_begin(ct_tracker *tracker, const char *name);
ct_status ct_phase_end(ct_tracker *tracker);
ct_status ct_progress(ct_tracker *tracker, uint64_t done, uint64_t total);
ct_status ct_run_progress(ct_tracker *tracker, double done, double total);
ct_status ct_value(ct_tracker *tracker, const char *pointer, double *out);
ct_status ct_text(ct_tracker *tracker, const char *pointer, char *buf, size_t cap, size_t *needed);
ct_status ct_report(ct_tracker *tracker, const char *format, char *buf, size_t cap, size_t *needed);
ct_status ct_message(ct_tracker *tracker, char *buf, size_t cap, size_t *needed);
void ct_destroy(ct_tracker *tracker);
void ct_release(ct_tracker *tracker);
const char *ct_last_error(void);
ct_status ct_error(ct_tracker *tracker, char *buf, size_t cap, size_t *needed);
const char *ct_status_string(int32_t status);
const char *ct_version(void);
uint32_t ct_abi_version(void);
]]
local CT_ABI_VERSION = 0
local CT_OK, CT_ERANGE = 0, -3

local function load_library()
  local named = os.getenv "CARBONTRACKER_LIB" or ""
  local problems = {}
  for _, name in ipairs(named ~= "" and { named } or { "libcarbontracker.so.0", "carbontracker" }) do
    local loaded, library = pcall(ffi.load, name)
    if loaded then return library end
    problems[#problems + 1] = library
  end
  error(table.concat(problems, "; "), 0)
end

-- Every function below keeps a reference to it. Without references it would be collected and unloaded.
local C = load_library()
if C.ct_abi_version() ~= CT_ABI_VERSION then
  error(("libcarbontracker has ABI %d, its Lua module %d: install the two together"):format(C.ct_abi_version(),
    CT_ABI_VERSION), 0)
end

-- A handle that the garbage collector releases; it holds NULL for a disabled or ended tracker.
local new_handle = ffi.typeof "ct_tracker *[1]"

-- A closure and not the C function itself: when a state closes, finalizers of other objects may still use the handle.
-- The closure must not refer to a handle, and it reads the function from the library only once.
local ct_release = C.ct_release
local function release(handle)
  ct_release(handle[0])
  handle[0] = nil
end

local number = ffi.new "double[1]"
local needed = ffi.new "size_t[1]"
local room = 4096
local buffer = ffi.new("char[?]", room)

-- Returns the text that `write` writes into the buffer, or nil and the status. The buffer grows until the text fits.
local function text_of(write, handle, name)
  local status = write(handle, name)
  while status == CT_ERANGE do
    room = tonumber(needed[0])
    buffer = ffi.new("char[?]", room)
    status = write(handle, name)
  end
  if status ~= CT_OK then return nil, status end
  return ffi.string(buffer, needed[0] - 1)
end

local function write_text(handle, pointer) return C.ct_text(handle[0], pointer, buffer, room, needed) end
local function write_report(handle, format) return C.ct_report(handle[0], format, buffer, room, needed) end
local function write_message(handle) return C.ct_message(handle[0], buffer, room, needed) end

local backend = {}

function backend.create(options)
  local handle = new_handle()
  local status = C.ct_create(options, handle)
  if status < 0 then return nil, status end
  return ffi.gc(handle, release), status
end

function backend.disabled() return new_handle() end

function backend.destroy(handle)
  C.ct_destroy(handle[0])
  handle[0] = nil
end

function backend.epoch_begin(handle) return C.ct_epoch_begin(handle[0]) end
function backend.epoch_end(handle) return C.ct_epoch_end(handle[0]) end
function backend.epoch_cancel(handle) return C.ct_epoch_cancel(handle[0]) end
function backend.phase_begin(handle, name) return C.ct_phase_begin(handle[0], name) end
function backend.phase_end(handle) return C.ct_phase_end(handle[0]) end
function backend.progress(handle, done, total) return C.ct_progress(handle[0], done, total) end
function backend.run_progress(handle, done, total) return C.ct_run_progress(handle[0], done, total) end

function backend.value(handle, pointer)
  local status = C.ct_value(handle[0], pointer, number)
  if status ~= CT_OK then return nil, status end
  return number[0]
end

function backend.text(handle, pointer) return text_of(write_text, handle, pointer) end
function backend.report(handle, format) return text_of(write_report, handle, format) end
function backend.message(handle) return text_of(write_message, handle) end
function backend.last_error() return ffi.string(C.ct_last_error()) end
function backend.version() return ffi.string(C.ct_version()) end

return backend
