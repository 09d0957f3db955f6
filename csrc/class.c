/*
 * class.c: the hot paths of the object model, as closures over flat tables.
 *
 * It is mechanism only. lua/csock/class/ decides what a class is, flattens
 * each one into tables (attributes, getters, setters ...) and asks here for
 * the closures that go into metatables; nothing here walks a hierarchy.
 *
 * Invariant: a closure finds all it needs in its upvalues and on its own
 * stack, in no registry and no global. A name stands either among a class's
 * attributes or among its properties, never in both, so a method, which is
 * asked for most, may be looked up first.
 */
#include "class.h"

#include <lauxlib.h>
#include <lua.h>
#include <stddef.h>

#define UP(n) lua_upvalueindex(n)

/* Places in the metatables that class/metatable.lua fills, by these numbers */
enum {
  MT_CLASS = 1, /* the class of whatever carries this metatable */
  MT_KIN,       /* set of that class and its bases */
  MT_INIT,      /* __init, absent where nobody wrote one */
  MT_READY,     /* with item hooks: what an instance carries once it is made */
  MT_MAKING,    /* ... and what it carries until then */
  MT_MAKES      /* in a class's own metatable: its instances' metatable */
};

/* Upvalues: of an __index, of an __newindex, of the two constructors */
enum { IX_ATTRS = 1, IX_GETTERS, IX_PRIVACY, IX_GETITEM, IX_FIELDS };
enum {
  NX_ATTRS = 1,
  NX_SETTERS,
  NX_DELETERS,
  NX_PRIVACY,
  NX_SLOTS,
  NX_SETITEM,
  NX_DELITEM,
  NX_KNOWN,   /* name -> true: known to be a plain field's; false: watched */
  NX_CHANGES, /* a table that counts, at 1, the writes to watched names */
  NX_LEFT     /* how many more names may be known */
};
enum { MAKE_MT = 1, MAKE_INIT, MAKE_READY, MAKE_ROOM, MAKE_SAMPLES };
enum { BUILD_NEW = 1 };

/* Places in a privacy table: one for the instances of a class, one for itself.
   A scope stands for a class; it turns private names into stored ones. */
enum {
  PR_SPECIAL = 1, /* set of the names that begin with "__" and are public */
  PR_TRUSTED,     /* function -> the scope it is known to be in */
  PR_TRACE        /* trace(object, function) -> scope or nil, for the others */
};

/* How many instances are counted to learn their room, the most it may be; how
   many names an __newindex comes to know */
enum { ROOM_SAMPLES = 4, ROOM_MAX = 16, NAMES_MAX = 64 };

/* {=====  Names  ===== */

static const char *keyname(lua_State *L) {
  return luaL_tolstring(L, 2, NULL);
}

static const char *classname(lua_State *L) {
  if (luaL_getmetafield(L, 1, "__name") == LUA_TSTRING)
    return lua_tostring(L, -1);
  return luaL_typename(L, 1);
}

/* Push the scope in which the function at `level` may use the private names
   of the object at `obj`; 0 and nothing for a stranger. A name is private to
   the text of a class: what counts is the function that runs, not who called
   it. */
static int pushscope(lua_State *L, int obj, int privacy, int level) {
  lua_Debug ar;
  int top = lua_gettop(L);
  if (!lua_getstack(L, level, &ar)) return 0;
  lua_getinfo(L, "f", &ar);
  lua_rawgeti(L, privacy, PR_TRUSTED);
  lua_pushvalue(L, -2);
  if (lua_rawget(L, -2) == LUA_TNIL) {
    lua_rawgeti(L, privacy, PR_TRACE);
    lua_pushvalue(L, obj);
    lua_pushvalue(L, top + 1);
    lua_call(L, 2, 1);
  }
  lua_replace(L, top + 1);
  lua_settop(L, top + 1);
  if (lua_istable(L, -1)) return 1;
  lua_pop(L, 1);
  return 0;
}

/* Two underscores in front, and not one of the special names? */
static int isprivate(lua_State *L, int key, int privacy) {
  const char *name;
  int special;
  if (lua_type(L, key) != LUA_TSTRING) return 0;
  name = lua_tostring(L, key);
  if (name[0] != '_' || name[1] != '_') return 0;
  lua_rawgeti(L, privacy, PR_SPECIAL);
  lua_pushvalue(L, key);
  special = lua_rawget(L, -2) != LUA_TNIL;
  lua_pop(L, 2);
  return !special;
}

/* Put the stored form of the private name at 2 in its place; 0 for a stranger,
   to whom it stays as it was. A scope is a cache that fills itself. */
static int unveil(lua_State *L, int privacy) {
  if (!pushscope(L, 1, privacy, 1)) return 0;
  lua_pushvalue(L, 2);
  lua_gettable(L, -2);
  lua_replace(L, 2);
  lua_pop(L, 1);
  return 1;
}

/* }{=====  Reading  ===== */

/* After a call that may have yielded: its results are what we return. */
static int aftercall(lua_State *L, int status, lua_KContext results) {
  (void)L;
  (void)status;
  return (int)results;
}

/* The getter is on top; false stands for a property that has none. */
static int readproperty(lua_State *L) {
  if (!lua_toboolean(L, -1))
    return luaL_error(L, "can't get '%s' of %s: the property has no getter",
                      keyname(L), classname(L));
  lua_pushvalue(L, 1);
  lua_callk(L, 1, 1, 1, aftercall);
  return 1;
}

/* Look the key at 2 up by the book: property, field, class. `fields` is where
   the fields are on the stack, 0 for nowhere. 1 with the answer on top (from a
   property, nil is one); 0 with nil there. */
static int find(lua_State *L, int fields) {
  lua_pushvalue(L, 2);
  if (lua_rawget(L, UP(IX_GETTERS)) != LUA_TNIL) return readproperty(L);
  if (fields != 0) {
    lua_pushvalue(L, 2);
    if (lua_rawget(L, fields) != LUA_TNIL) return 1;
  }
  lua_pushvalue(L, 2);
  return lua_rawget(L, UP(IX_ATTRS)) != LUA_TNIL;
}

/* No attribute has this name: it is private, an item, or nothing. */
static int readrest(lua_State *L, int fields) {
  if (isprivate(L, 2, UP(IX_PRIVACY)) && unveil(L, UP(IX_PRIVACY))) {
    find(L, fields);
    return 1;
  }
  if (lua_isnil(L, UP(IX_GETITEM))) {
    lua_pushnil(L);
    return 1;
  }
  lua_pushvalue(L, UP(IX_GETITEM));
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 2);
  lua_callk(L, 2, 1, 1, aftercall);
  return 1;
}

/* Read from an object whose fields are in a table apart. */
static int readapart(lua_State *L, int fields) {
  return find(L, fields) ? 1 : readrest(L, fields);
}

/* __index of an instance: a table, whose own field Lua has looked for before
   it came here, or a userdata, whose fields are its user value. */
static int object_index(lua_State *L) {
  int fields = 1;
  if (lua_type(L, 1) == LUA_TUSERDATA) {
    lua_settop(L, 2);
    if (lua_getiuservalue(L, 1, 1) == LUA_TTABLE) return readapart(L, 3);
    fields = 0;
  }
  lua_pushvalue(L, 2);
  if (lua_rawget(L, UP(IX_ATTRS)) != LUA_TNIL) return 1;
  lua_settop(L, 2);
  lua_pushvalue(L, 2);
  if (lua_rawget(L, UP(IX_GETTERS)) != LUA_TNIL) return readproperty(L);
  return readrest(L, lua_istable(L, 1) ? fields : 0);
}

/* The same where instances have no fields at all. */
static int fieldless_index(lua_State *L) {
  lua_pushvalue(L, 2);
  if (lua_rawget(L, UP(IX_ATTRS)) != LUA_TNIL) return 1;
  lua_settop(L, 2);
  return find(L, 0) ? 1 : readrest(L, 0);
}

/* __index of a class, which is an instance of its metaclass and has its
   members for fields. */
static int class_index(lua_State *L) {
  lua_settop(L, 2);
  return readapart(L, UP(IX_FIELDS));
}

/* }{=====  Writing  ===== */

static int readonly(lua_State *L) {
  return luaL_error(L, "can't set '%s' of %s: the property is read-only",
                    keyname(L), classname(L));
}

/* The setter is on top; nil goes to the deleter, if there is one. */
static int writeproperty(lua_State *L) {
  if (lua_isnil(L, 3)) {
    lua_pushvalue(L, 2);
    if (lua_rawget(L, UP(NX_DELETERS)) != LUA_TNIL) {
      lua_pushvalue(L, 1);
      lua_callk(L, 1, 0, 0, aftercall);
      return 0;
    }
    lua_pop(L, 1);
  }
  if (!lua_toboolean(L, -1)) return readonly(L);
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 3);
  lua_callk(L, 2, 0, 0, aftercall);
  return 0;
}

/* Push the table of an object's fields; for a userdata it is made when it is
   first needed, if `create`. 0 and nothing pushed where there is none. */
static int pushfields(lua_State *L, int arg, int create) {
  if (lua_istable(L, arg)) {
    lua_pushvalue(L, arg);
    return 1;
  }
  if (lua_type(L, arg) != LUA_TUSERDATA) return 0;
  if (lua_getiuservalue(L, arg, 1) == LUA_TTABLE) return 1;
  lua_pop(L, 1);
  if (!create) return 0;
  lua_newtable(L);
  lua_pushvalue(L, -1);
  if (lua_setiuservalue(L, arg, 1)) return 1;
  lua_pop(L, 1);
  return 0;
}

/* Make the value at 3 a field of the object, whatever it is called. */
static int writefield(lua_State *L) {
  lua_settop(L, 3);
  if (!pushfields(L, 1, !lua_isnil(L, 3))) {
    if (lua_isnil(L, 3)) return 0;
    return luaL_error(L, "an instance of %s has no room for fields",
                      classname(L));
  }
  lua_insert(L, 2);
  lua_rawset(L, 2);
  return 0;
}

static int isattribute(lua_State *L) {
  int found;
  lua_pushvalue(L, 2);
  found = lua_rawget(L, UP(NX_ATTRS)) != LUA_TNIL;
  if (!found && lua_type(L, 1) == LUA_TUSERDATA &&
      lua_getiuservalue(L, 1, 1) == LUA_TTABLE) {
    lua_pushvalue(L, 2);
    found = lua_rawget(L, -2) != LUA_TNIL;
  }
  lua_settop(L, 3);
  return found;
}

/* The key is no attribute's, and the class has a hook for items. */
static int writeitem(lua_State *L) {
  int deletes = lua_isnil(L, 3) && !lua_isnil(L, UP(NX_DELITEM));
  if (deletes) lua_settop(L, 2);
  lua_pushvalue(L, UP(deletes ? NX_DELITEM : NX_SETITEM));
  lua_insert(L, 1);
  lua_callk(L, deletes ? 2 : 3, 0, 0, aftercall);
  return 0;
}

/* Sealed by __slots: only the names given there may become fields. */
static void checkslot(lua_State *L) {
  if (!lua_istable(L, UP(NX_SLOTS))) return;
  lua_pushvalue(L, 2);
  if (lua_rawget(L, UP(NX_SLOTS)) == LUA_TNIL)
    luaL_error(L, "%s has no property '%s'", classname(L), keyname(L));
  lua_pop(L, 1);
}

/* The key is a plain field's now, and will be until the closure is made anew:
   let the next write not ask. Only so many, as keys may be data without end,
   and none where they may be items. */
static void learnname(lua_State *L) {
  lua_Integer left = lua_tointeger(L, UP(NX_LEFT));
  if (left == 0 || lua_type(L, 2) != LUA_TSTRING ||
      !lua_isnil(L, UP(NX_SETITEM)) || !lua_isnil(L, UP(NX_DELITEM)))
    return;
  lua_pushvalue(L, 2);
  lua_pushboolean(L, 1);
  lua_rawset(L, UP(NX_KNOWN));
  lua_pushinteger(L, left - 1);
  lua_replace(L, UP(NX_LEFT));
}

/* Somebody relies on the class's member of this name: it is hidden from now on.
   An instance that has the field already is written to without a call. */
static void countchange(lua_State *L) {
  lua_Integer n;
  lua_rawgeti(L, UP(NX_CHANGES), 1);
  n = lua_tointeger(L, -1);
  lua_pop(L, 1);
  lua_pushinteger(L, n + 1);
  lua_rawseti(L, UP(NX_CHANGES), 1);
}

/* The rest of object_newindex: what kind of name is it? `known` is the type of
   what NX_KNOWN has for it. */
static int writenew(lua_State *L, int known) {
  int isitem = !lua_isnil(L, UP(NX_SETITEM)) ||
               (lua_isnil(L, 3) && !lua_isnil(L, UP(NX_DELITEM)));
  lua_pushvalue(L, 2);
  if (lua_rawget(L, UP(NX_SETTERS)) != LUA_TNIL) return writeproperty(L);
  if (isprivate(L, 2, UP(NX_PRIVACY))) {
    if (unveil(L, UP(NX_PRIVACY))) {
      isitem = 0;
      lua_pushvalue(L, 2);
      if (lua_rawget(L, UP(NX_SETTERS)) != LUA_TNIL) return writeproperty(L);
    } else if (!isitem)
      return luaL_error(
          L, "can't set '%s' of %s: the name is private to its class",
          keyname(L), classname(L));
  }
  if (isitem && !isattribute(L)) return writeitem(L);
  checkslot(L);
  if (known == LUA_TNIL) learnname(L);
  return writefield(L);
}

/* __newindex of an instance */
static int object_newindex(lua_State *L) {
  int known;
  lua_settop(L, 3);
  lua_pushvalue(L, 2);
  known = lua_rawget(L, UP(NX_KNOWN));
  if (!lua_toboolean(L, -1)) {
    if (known != LUA_TNIL) countchange(L);
    return writenew(L, known);
  }
  if (!lua_istable(L, 1)) return writefield(L);
  lua_settop(L, 3);
  lua_rawset(L, 1);
  return 0;
}

/* }{=====  Asking  ===== */

/* Push the metatable of a class's instances, if a class is at `arg`. */
static int pushmakes(lua_State *L, int arg) {
  if (!lua_istable(L, arg) || !lua_getmetatable(L, arg)) return 0;
  if (lua_rawgeti(L, -1, MT_MAKES) == LUA_TTABLE) {
    lua_remove(L, -2);
    return 1;
  }
  lua_pop(L, 2);
  return 0;
}

void cs_pushmetatable(lua_State *L, int arg) {
  if (!pushmakes(L, arg)) luaL_typeerror(L, arg, "class");
}

/* Push the set of the classes that the value at `arg` is an instance of; nil
   and 0 for what is no object. */
static int pushkin(lua_State *L, int arg) {
  if (lua_getmetatable(L, arg)) {
    int type = lua_rawgeti(L, -1, MT_KIN);
    lua_remove(L, -2);
    if (type == LUA_TTABLE) return 1;
    lua_pop(L, 1);
  }
  lua_pushnil(L);
  return 0;
}

/* Is the class at `arg` in the set, or nil, on top? That stays there. */
static int inkin(lua_State *L, int arg) {
  int found;
  if (lua_isnil(L, -1)) return 0;
  lua_pushvalue(L, arg);
  found = lua_rawget(L, -2) != LUA_TNIL;
  lua_pop(L, 1);
  return found;
}

/* Is the class at 2, or one of the list at 2, in the set, or nil, on top? All
   of a list are looked at, so that a wrong one never passes. */
static int amongkin(lua_State *L) {
  int kin = lua_gettop(L), found = 0;
  lua_Integer i;
  if (inkin(L, 2)) return 1;
  if (pushmakes(L, 2)) return 0;
  if (!lua_istable(L, 2) || pushkin(L, 2))
    return luaL_typeerror(L, 2, "class or list of classes");
  for (i = 1; lua_rawgeti(L, 2, i) != LUA_TNIL; i++) {
    if (!pushmakes(L, -1))
      return luaL_argerror(L, 2, "class or list of classes expected");
    lua_pop(L, 1);
    lua_pushvalue(L, kin);
    found |= inkin(L, -2);
    lua_settop(L, kin);
  }
  return found;
}

/* isinstance(value, class or list of classes) -> boolean */
static int class_isinstance(lua_State *L) {
  luaL_checkany(L, 1);
  lua_settop(L, 2);
  pushkin(L, 1);
  lua_pushboolean(L, amongkin(L));
  return 1;
}

/* issubclass(class, class or list of classes) -> boolean */
static int class_issubclass(lua_State *L) {
  lua_settop(L, 2);
  cs_pushmetatable(L, 1);
  lua_rawgeti(L, 3, MT_KIN);
  lua_pushboolean(L, amongkin(L));
  return 1;
}

/* classof(value) -> its class, nil for what is no object */
static int class_classof(lua_State *L) {
  luaL_checkany(L, 1);
  lua_settop(L, 1);
  if (pushkin(L, 1)) {
    lua_getmetatable(L, 1);
    lua_rawgeti(L, 3, MT_CLASS);
    lua_replace(L, 3);
    lua_insert(L, 2);
    if (inkin(L, 2)) {
      lua_settop(L, 2);
      return 1;
    }
  }
  lua_pushnil(L);
  return 1;
}

/* fields(object [, create]) -> the table its fields are in, or nil */
static int class_fields(lua_State *L) {
  if (!pushfields(L, 1, lua_toboolean(L, 2))) lua_pushnil(L);
  return 1;
}

/* scope(privacy, object, key, level) -> the scope in which the function at
   that level may use the key, a private name; false to a stranger, nil if the
   key is not private */
static int class_scope(lua_State *L) {
  int level = (int)luaL_checkinteger(L, 4);
  luaL_checktype(L, 1, LUA_TTABLE);
  if (!isprivate(L, 3, 1))
    lua_pushnil(L);
  else if (!pushscope(L, 2, 1, level))
    lua_pushboolean(L, 0);
  return 1;
}

/* blank(metatable) -> an empty userdata that can hold fields: what the __new
   of a native class makes, less the block that such a class is for */
static int class_blank(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_newuserdatauv(L, 0, 1);
  lua_pushvalue(L, 1);
  lua_setmetatable(L, -2);
  return 1;
}

/* }{=====  Making  ===== */

/* Give the object at 1 the metatable kept at `place` of its own, if any. */
static void become(lua_State *L, int place) {
  lua_getmetatable(L, 1);
  if (lua_rawgeti(L, -1, place) == LUA_TTABLE)
    lua_setmetatable(L, 1);
  else
    lua_pop(L, 1);
  lua_pop(L, 1);
}

/* How many fields an instance comes to have is learnt from the first few, so
   that the others get their room at once instead of growing into it. */
static void learnroom(lua_State *L) {
  lua_Integer room = 0, samples = lua_tointeger(L, UP(MAKE_SAMPLES));
  lua_settop(L, 1);
  lua_pushnil(L);
  while (room < ROOM_MAX && lua_next(L, 1)) {
    lua_pop(L, 1);
    room++;
  }
  if (room > lua_tointeger(L, UP(MAKE_ROOM))) {
    lua_pushinteger(L, room);
    lua_replace(L, UP(MAKE_ROOM));
  }
  lua_pushinteger(L, samples - 1);
  lua_replace(L, UP(MAKE_SAMPLES));
}

static int maker_made(lua_State *L, int status, lua_KContext k) {
  (void)status;
  (void)k;
  if (!lua_isnil(L, UP(MAKE_READY))) {
    lua_pushvalue(L, UP(MAKE_READY));
    lua_setmetatable(L, 1);
  }
  if (lua_tointeger(L, UP(MAKE_SAMPLES)) > 0) learnroom(L);
  lua_settop(L, 1);
  return 1;
}

/* cls(...) -> instance, where neither __new nor the metaclass's __call is the
   user's: a table, its metatable, its __init. */
static int maker_call(lua_State *L) {
  int n = lua_gettop(L);
  luaL_checkany(L, 1);
  lua_createtable(L, 0, (int)lua_tointeger(L, UP(MAKE_ROOM)));
  lua_pushvalue(L, UP(MAKE_MT));
  lua_setmetatable(L, -2);
  lua_replace(L, 1);
  if (lua_isnil(L, UP(MAKE_INIT))) return maker_made(L, LUA_OK, 0);
  lua_pushvalue(L, UP(MAKE_INIT));
  lua_pushvalue(L, 1);
  lua_rotate(L, 2, 2); /* instance, __init, instance, arguments */
  lua_callk(L, n, 0, 0, maker_made);
  return maker_made(L, LUA_OK, 0);
}

/* The instance is at 1, and behind it what __init has returned: that of a
   native class may refuse, with nil and an error. */
static int builder_made(lua_State *L, int status, lua_KContext k) {
  (void)status;
  (void)k;
  if (lua_isnil(L, 2) && !lua_isnoneornil(L, 3) &&
      lua_type(L, 1) == LUA_TUSERDATA)
    return 2;
  become(L, MT_READY);
  lua_settop(L, 1);
  return 1;
}

/* __new has answered: if with an instance of the class, __init is due. The
   stack has the arguments, of which the first is the class, and the answer. */
static int builder_new(lua_State *L, int status, lua_KContext k) {
  int n = (int)k;
  int isours = pushkin(L, n + 1) && inkin(L, 1);
  (void)status;
  lua_settop(L, n + 1);
  if (!isours) return 1;
  lua_replace(L, 1); /* the instance stands where the class stood */
  become(L, MT_MAKING);
  lua_getmetatable(L, 1);
  if (lua_rawgeti(L, -1, MT_INIT) == LUA_TNIL) {
    lua_settop(L, 1);
    return builder_made(L, LUA_OK, 0);
  }
  lua_remove(L, -2);
  lua_pushvalue(L, 1);
  lua_rotate(L, 2, 2); /* instance, __init, instance, arguments */
  lua_callk(L, n, 2, 0, builder_made);
  return builder_made(L, LUA_OK, 0);
}

/* cls(...) -> whatever __new answers, after __init if it is an instance; nil
   and an error where the __init of a native class answers with that. */
static int builder_call(lua_State *L) {
  int i, n = lua_gettop(L);
  luaL_checkany(L, 1);
  luaL_checkstack(L, n + 8, "too many arguments");
  lua_pushvalue(L, UP(BUILD_NEW));
  for (i = 1; i <= n; i++) lua_pushvalue(L, i);
  lua_callk(L, n, 1, n, builder_new);
  return builder_new(L, LUA_OK, n);
}

/* }{=====  The door  ===== */

/* Close `f` over exactly `n` arguments, nil for those not given. */
static int closure(lua_State *L, lua_CFunction f, int n) {
  lua_settop(L, n);
  lua_pushcclosure(L, f, n);
  return 1;
}

/* index(attributes, getters, privacy, getitem [, fields]) -> __index: of a
   class where its fields are given, of an instance otherwise */
static int class_newindexer(lua_State *L) {
  return lua_istable(L, IX_FIELDS) ? closure(L, class_index, IX_FIELDS)
                                   : closure(L, object_index, IX_GETITEM);
}

/* fieldless(attributes, getters, privacy, getitem) -> the __index of an
   instance that cannot have fields */
static int class_newfieldless(lua_State *L) {
  return closure(L, fieldless_index, IX_GETITEM);
}

/* newindex(attributes, setters, deleters, privacy, slots, setitem, delitem,
   known, changes) -> the __newindex of an instance. It makes known[name] true
   for names of plain fields; for those that are false it adds one to
   changes[1]. */
static int class_newwriter(lua_State *L) {
  lua_settop(L, NX_CHANGES);
  lua_pushinteger(L, NAMES_MAX);
  return closure(L, object_newindex, NX_LEFT);
}

/* maker(metatable, init, ready) -> the __call of a class */
static int class_newmaker(lua_State *L) {
  lua_settop(L, MAKE_READY);
  lua_pushinteger(L, 0);
  lua_pushinteger(L, ROOM_SAMPLES);
  return closure(L, maker_call, MAKE_SAMPLES);
}

/* builder(new) -> the __call of a class that has a __new of its own */
static int class_newbuilder(lua_State *L) {
  return closure(L, builder_call, BUILD_NEW);
}

static const luaL_Reg class_funcs[] = {
    {"isinstance", class_isinstance}, {"issubclass", class_issubclass},
    {"classof", class_classof},       {"fields", class_fields},
    {"scope", class_scope},           {"blank", class_blank},
    {"index", class_newindexer},      {"fieldless", class_newfieldless},
    {"newindex", class_newwriter},    {"maker", class_newmaker},
    {"builder", class_newbuilder},    {NULL, NULL}};

void cs_open_class(lua_State *L) {
  luaL_newlib(L, class_funcs);
  lua_setfield(L, -2, "class");
}

/* }===== */
