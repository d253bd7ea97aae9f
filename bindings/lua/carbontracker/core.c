/* The C module carbontracker.core: the functions of the library for Lua 5.1 to 5.4 and LuaJIT. carbontracker/ffi.lua
 * has the same functions, and carbontracker.lua is the interface. A call returns its status as a number, or nil and the
 * status. */

#include <carbontracker.h>
#include <lua.h>
#include <lauxlib.h>

#define HANDLE "carbontracker.handle"

int luaopen_carbontracker_core(lua_State *L);

/* A new handle that the garbage collector releases; it holds NULL for a disabled or ended tracker. */
static ct_tracker **new_handle(lua_State *L)
{
    ct_tracker **tracker = lua_newuserdata(L, sizeof *tracker);
    *tracker = NULL;
    luaL_getmetatable(L, HANDLE);
    lua_setmetatable(L, -2);
    return tracker;
}

static ct_tracker **handle(lua_State *L)
{
    return luaL_checkudata(L, 1, HANDLE);
}

static int status(lua_State *L, ct_status answer)
{
    lua_pushinteger(L, answer);
    return 1;
}

static int none(lua_State *L, ct_status why)
{
    lua_pushnil(L);
    lua_pushinteger(L, why);
    return 2;
}

static int create(lua_State *L)
{
    const char *options = luaL_optstring(L, 1, NULL);
    ct_tracker **tracker = new_handle(L);
    const ct_status made = ct_create(options, tracker);
    if (made < 0)
        return none(L, made);
    lua_pushinteger(L, made);
    return 2;
}

static int disabled(lua_State *L)
{
    new_handle(L);
    return 1;
}

static int destroy(lua_State *L)
{
    ct_tracker **tracker = handle(L);
    ct_destroy(*tracker);
    *tracker = NULL;
    return 0;
}

static int release(lua_State *L)
{
    ct_tracker **tracker = handle(L);
    ct_release(*tracker);
    *tracker = NULL; /* the finalizer of another object may still use it */
    return 0;
}

static int epoch_begin(lua_State *L)
{
    return status(L, ct_epoch_begin(*handle(L)));
}

static int epoch_end(lua_State *L)
{
    return status(L, ct_epoch_end(*handle(L)));
}

static int epoch_cancel(lua_State *L)
{
    return status(L, ct_epoch_cancel(*handle(L)));
}

static int phase_begin(lua_State *L)
{
    return status(L, ct_phase_begin(*handle(L), luaL_checkstring(L, 2)));
}

static int phase_end(lua_State *L)
{
    return status(L, ct_phase_end(*handle(L)));
}

/* carbontracker.lua ensures that both are counts up to 2^53. */
static int progress(lua_State *L)
{
    return status(L, ct_progress(*handle(L), (uint64_t)luaL_checknumber(L, 2), (uint64_t)luaL_checknumber(L, 3)));
}

static int run_progress(lua_State *L)
{
    return status(L, ct_run_progress(*handle(L), (double)luaL_checknumber(L, 2), (double)luaL_checknumber(L, 3)));
}

static int value(lua_State *L)
{
    double number;
    const ct_status found = ct_value(*handle(L), luaL_checkstring(L, 2), &number);
    if (found != CT_OK)
        return none(L, found);
    lua_pushnumber(L, number);
    return 1;
}

/* ct_message, with the arguments of ct_report and ct_text. */
static ct_status oldest_message(ct_tracker *tracker, const char *unused, char *buf, size_t cap, size_t *needed)
{
    (void)unused;
    return ct_message(tracker, buf, cap, needed);
}

/* Pushes the text that `write` writes for `name`. */
static int push_text(lua_State *L, ct_status (*write)(ct_tracker *, const char *, char *, size_t, size_t *),
                     const char *name)
{
    ct_tracker *tracker = *handle(L);
    char small[4096], *buffer = small;
    size_t cap = sizeof small, needed = 0;
    ct_status written;
    for (;;) {
        written = write(tracker, name, buffer, cap, &needed);
        if (written != CT_ERANGE)
            break;
        lua_settop(L, 2);
        cap = needed;
        buffer = lua_newuserdata(L, cap); /* collected memory, because Lua may leave this function by longjmp */
    }
    if (written != CT_OK)
        return none(L, written);
    lua_pushlstring(L, buffer, needed - 1);
    return 1;
}

static int report(lua_State *L)
{
    return push_text(L, ct_report, luaL_checkstring(L, 2));
}

static int text(lua_State *L)
{
    return push_text(L, ct_text, luaL_checkstring(L, 2));
}

static int message(lua_State *L)
{
    return push_text(L, oldest_message, NULL);
}

static int last_error(lua_State *L)
{
    lua_pushstring(L, ct_last_error());
    return 1;
}

static int version(lua_State *L)
{
    lua_pushstring(L, ct_version());
    return 1;
}

static const luaL_Reg FUNCTIONS[] = {
    {"create", create},
    {"disabled", disabled},
    {"destroy", destroy},
    {"epoch_begin", epoch_begin},
    {"epoch_end", epoch_end},
    {"epoch_cancel", epoch_cancel},
    {"phase_begin", phase_begin},
    {"phase_end", phase_end},
    {"progress", progress},
    {"run_progress", run_progress},
    {"value", value},
    {"text", text},
    {"report", report},
    {"message", message},
    {"last_error", last_error},
    {"version", version},
};

int luaopen_carbontracker_core(lua_State *L)
{
    if (ct_abi_version() != CT_ABI_VERSION)
        return luaL_error(L, "libcarbontracker has ABI %d, its Lua module %d: install the two together",
                          (int)ct_abi_version(), CT_ABI_VERSION);
    luaL_newmetatable(L, HANDLE);
    lua_pushcfunction(L, release);
    lua_setfield(L, -2, "__gc");
    lua_newtable(L);
    for (size_t i = 0; i < sizeof FUNCTIONS / sizeof *FUNCTIONS; i++) {
        lua_pushcfunction(L, FUNCTIONS[i].func);
        lua_setfield(L, -2, FUNCTIONS[i].name);
    }
    return 1;
}
