/* group: the tasks of one owner, a server's requests for instance.  Each runs a
** step of its own, then one that all have in common; when either fails, a third
** one is told.  Not here: what these steps do, and whose errors they are.
** Invariant: a task is in its group exactly while it lives, and needs nothing
** for it but a link: no table knows it, and its stack stays as small as can be,
** for ten thousand of them may be waiting. */

#include <lauxlib.h>
#include <stddef.h>

#include "error.h"
#include "group.h"
#include "loop.h"
#include "task.h"

#define GROUP "csock.group"

/* user values of a group: its owner, the step that follows, the one for
** failures, the function that is the body of its tasks, and a subject that has
** no task yet, and the board that shows their number */
enum {
  OWNER = 1,
  AFTER,
  FAILED,
  BODY,
  PENDING = CS_PENDING,
  BOARD,
  VALUES = BOARD
};

/* the second upvalue of BODY */
#define SELF lua_upvalueindex(2)

cs_Group *cs_checkgroup(lua_State *L, int arg) {
  return luaL_checkudata(L, arg, GROUP);
}

static cs_Group *togroup(lua_State *L) {
  return cs_checkgroup(L, 1);
}

/*
** The body of a task: step, request, address
*/

enum { STEP, FOLLOW, FAULT };

static int done(lua_State *L, int status, lua_KContext ctx);

static int call(lua_State *L, int nargs, lua_KContext stage) {
  return done(L, lua_pcallk(L, nargs, 0, 1, stage, done), stage);
}

/* Push the request of a task. */
static void push_subject(lua_State *L, const cs_Task *t) {
  cs_pushtask(L, t);
  lua_getiuservalue(L, -1, CS_SUBJECT);
  lua_remove(L, -2);
}

/* after(owner, subject) */
static int follow(lua_State *L) {
  lua_getiuservalue(L, SELF, AFTER);
  lua_getiuservalue(L, SELF, OWNER);
  push_subject(L, cs_loop(L)->current);
  return call(L, 2, FOLLOW);
}

/* failed(owner, subject, address, error, traceback), the last one nil where
** there was no memory for it; the error is on top */
static int fault(lua_State *L) {
  const cs_Task *me = cs_loop(L)->current;
  int err = lua_gettop(L);
  lua_getiuservalue(L, SELF, FAILED);
  lua_getiuservalue(L, SELF, OWNER);
  push_subject(L, me);
  lua_pushvalue(L, 2);
  lua_pushvalue(L, err);
  cs_pushtask(L, me);
  cs_pushtraceback(L);
  return call(L, 5, FAULT);
}

static int done(lua_State *L, int status, lua_KContext stage) {
  int ok = status == LUA_OK || status == LUA_YIELD;
  if (!ok) return stage == FAULT ? cs_failtask(L) : fault(L);
  return stage == STEP ? follow(L) : 0;
}

static int body(lua_State *L) {
  lua_getiuservalue(L, lua_upvalueindex(1), CS_TASKFAULT);
  lua_insert(L, 1);
  return call(L, 3, STEP);
}

/*
** For the owner
*/

/* group(owner, after, failed) -> a group without tasks. */
static int group_new(lua_State *L) {
  cs_Group *g;
  lua_settop(L, 3);
  g = lua_newuserdatauv(L, sizeof *g, VALUES);
  cs_initlist(&g->members);
  g->count = 0;
  g->place = NULL;
  luaL_setmetatable(L, GROUP);
  lua_insert(L, 1);
  lua_setiuservalue(L, 1, FAILED);
  lua_setiuservalue(L, 1, AFTER);
  lua_setiuservalue(L, 1, OWNER);
  cs_pushloop(L);
  lua_pushvalue(L, 1);
  lua_pushcclosure(L, body, 2);
  lua_setiuservalue(L, 1, BODY);
  return 1;
}

/* For a task that is in none; cs_leavegroup is the way out. */
void cs_joingroup(cs_Group *g, cs_Task *t) {
  t->group = g;
  g->count++;
  cs_showgroup(g);
  t->kin.next = &g->members;
  t->kin.prev = g->members.prev;
  t->kin.prev->next = g->members.prev = &t->kin;
}

/* A task of the group at index 'group' that does step(owner, subject, address)
** and what follows; the address stands above the subject. */
void cs_groupspawn(lua_State *L, int group, int step, int subject) {
  cs_Task *t = cs_newtask(L);
  int task = lua_gettop(L);
  lua_pushvalue(L, subject);
  lua_setiuservalue(L, task, CS_SUBJECT);
  lua_getiuservalue(L, group, BODY);
  lua_pushvalue(L, subject + 1);
  lua_pushvalue(L, step);
  lua_getiuservalue(L, group, OWNER);
  lua_pushvalue(L, subject);
  lua_pushvalue(L, subject + 1);
  lua_xmove(L, t->co, 6);
  cs_starttask(L, t, task);
  cs_joingroup(lua_touserdata(L, group), t);
  lua_pop(L, 1);
}

/* group:spawn(step, subject, address): a task that does step(owner, subject,
** address), then after(owner, subject); and, when either fails, failed(owner,
** subject, address, error, traceback). */
static int group_spawn(lua_State *L) {
  togroup(L);
  lua_settop(L, 4);
  cs_groupspawn(L, 1, 2, 3);
  return 0;
}

/* group:adopt(task, subject): a task that does all by itself. */
static int group_adopt(lua_State *L) {
  cs_Group *g = togroup(L);
  cs_Task *t = cs_totask(L, 2);
  lua_settop(L, 3);
  lua_setiuservalue(L, 2, CS_SUBJECT);
  if (t->state < CS_DONE && t->group == NULL) cs_joingroup(g, t);
  return 0;
}

static cs_Task *kinsman(cs_Link *link) {
  return (cs_Task *)((char *)link - offsetof(cs_Task, kin));
}

/* #group -> how many are alive */
static int group_len(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)togroup(L)->count);
  return 1;
}

/* group:other() -> one that is alive and not the current task; nil */
static int group_other(lua_State *L) {
  cs_Group *g = togroup(L);
  cs_Link *link = g->members.next;
  if (link != &g->members && kinsman(link) == cs_loop(L)->current)
    link = link->next;
  if (link == &g->members) return 0;
  cs_pushtask(L, kinsman(link));
  return 1;
}

/* group:mine() -> is the current task one of them? */
static int group_mine(lua_State *L) {
  cs_Task *me = cs_loop(L)->current;
  lua_pushboolean(L, me != NULL && me->group == togroup(L));
  return 1;
}

/* group:cancel(): all of them, but for the current task */
static int group_cancel(lua_State *L) {
  cs_Group *g = togroup(L);
  cs_Loop *loop = cs_loop(L);
  for (cs_Link *l = g->members.next; l != &g->members; l = l->next)
    if (kinsman(l) != loop->current) cs_canceltask(loop, kinsman(l));
  return 0;
}

/* group:subjects() -> the list of their subjects */
static int group_subjects(lua_State *L) {
  cs_Group *g = togroup(L);
  lua_Integer n = 0;
  lua_createtable(L, (int)g->count, 0);
  for (cs_Link *l = g->members.next; l != &g->members; l = l->next) {
    push_subject(L, kinsman(l));
    lua_rawseti(L, -2, ++n);
  }
  return 1;
}

/* group:show([board, place]): how many are alive is to be seen there from now
** on, or nowhere. */
static int group_show(lua_State *L) {
  cs_Group *g = togroup(L);
  g->place = lua_isnoneornil(L, 2) ? NULL : cs_checkplace(L, 2);
  cs_showgroup(g);
  lua_settop(L, 2);
  lua_setiuservalue(L, 1, BOARD);
  return 0;
}

/* Its owner has gone before its tasks. */
static int group_gc(lua_State *L) {
  cs_Group *g = togroup(L);
  g->place = NULL; /* the board may have gone before */
  while (g->members.next != &g->members)
    cs_leavegroup(kinsman(g->members.next));
  return 0;
}

static const luaL_Reg group_methods[] = {
    {"adopt", group_adopt},       {"cancel", group_cancel},
    {"mine", group_mine},         {"other", group_other},
    {"show", group_show},         {"spawn", group_spawn},
    {"subjects", group_subjects}, {NULL, NULL},
};

static const luaL_Reg group_meta[] = {
    {"__gc", group_gc},
    {"__len", group_len},
    {NULL, NULL},
};

static const luaL_Reg group_funcs[] = {
    {"group", group_new},
    {NULL, NULL},
};

/* Adds its function to core.loop. */
void cs_open_group(lua_State *L) {
  luaL_newmetatable(L, GROUP);
  cs_setfuncs(L, group_meta);
  lua_newtable(L);
  cs_setfuncs(L, group_methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  lua_getfield(L, -1, "loop");
  cs_setfuncs(L, group_funcs);
  lua_pop(L, 1);
}
