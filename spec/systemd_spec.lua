-- systemd: sockets that a service manager has opened, by number and by name,
-- servers that take them, and what a server tells the manager.
-- The manager is played by a little program, and once by systemd's own.

local helper = require "spec.helper"
local csock = require "csock"
local loop = require "csock.loop"
local socketserver = require "csock.socketserver"
local systemd = require "csock.systemd"

local class = csock.class
local anywhere = {"127.0.0.1", 0}

-- Programs ------------------------------------------------------------------

local preamble = [[
  local csock = require "csock"
  local systemd, class, loop = csock.systemd, csock.class, csock.loop
  local socketserver = csock.socketserver
  io.stdout:setvbuf "line"
  local Upper = class("Upper", socketserver.BaseRequestHandler)
  function Upper:handle()
    if type(self.request) == "table" then
      return self.request[2]:sendto(self.request[1]:upper(),
        self.client_address)
    end
    repeat
      local data = self.request:recv(4096)
      self.request:sendall(data:upper())
    until data == ""
  end
]]

-- A file with a program; its name.
local function program(text)
  local name = helper.tmpdir() .. "/program.lua"
  local file <close> = assert(io.open(name, "w"))
  file:write(preamble, text)
  return name
end

-- Opens what its arguments say, from descriptor 3 on, tells the addresses, and
-- begins the program in a process that has them.
local activator = [[
  local csock = require "csock"
  local command, pid = arg[1], arg[2]
  local kept = {}
  for i = 3, #arg do
    local kind, path = arg[i]:match "^(%a+):?(.*)$"
    local one
    if kind == "file" then
      one = assert(io.open "/dev/null")
    else
      one = csock.socket(path ~= "" and csock.AF_UNIX or csock.AF_INET,
        kind == "udp" and csock.SOCK_DGRAM or csock.SOCK_STREAM)
      assert(one:fileno() == i, "not the next descriptor")
      one:bind(path ~= "" and path or {"127.0.0.1", 0})
      if kind == "tcp" then one:listen() end
      one:set_inheritable(true)
      print(kind == "tcp" and path == "" and one:getsockname()[2] or
        kind == "udp" and one:getsockname()[2] or path)
    end
    kept[#kept + 1] = one
  end
  print "end"
  io.stdout:flush()
  local _, how, status = os.execute("echo $$; LISTEN_PID=" .. pid ..
    " exec env " .. command)
  os.exit(how == "exit" and status or 1)
]]

-- Starts a program with these sockets and variables: the process, and where
-- the sockets are.  `pid`: whom the sockets are for, by default the program.
local function activate(text, variables, sockets, pid)
  local name = helper.tmpdir() .. "/manager.lua"
  local file = assert(io.open(name, "w"))
  file:write(activator)
  file:close()
  local words = {helper.lua, name,
    helper.quote(variables .. " " .. helper.lua .. " " .. program(text) ..
      " 2>&1"), helper.quote(pid or "$$")}
  for _, socket in ipairs(sockets) do words[#words + 1] = socket end
  local process = helper.spawn_process(table.concat(words, " "))
  local places = {}
  for line in process.pipe:lines() do
    if line == "end" then break end
    places[#places + 1] = tonumber(line) and {"127.0.0.1", tonumber(line)} or
      line
  end
  process.pid = process:read "n"        -- the program's, from now on
  process:read "l"
  return process, places
end

-- What a program prints that is begun so.
local function output(...)
  local process = activate(...)
  return process:read "a"
end

local function ask(address, words)
  local unix = type(address) == "string"
  local sock <close> = csock.socket(unix and csock.AF_UNIX or csock.AF_INET)
  sock.timeout = 40
  sock:connect(address)
  sock:sendall(words)
  sock:shutdown(csock.SHUT_WR)
  local answer = ""
  repeat
    local data = sock:recv(100)
    answer = answer .. data
  until data == ""
  return answer
end

-- Sockets -------------------------------------------------------------------

describe("systemd.listen_fds", function()
  local list = [[
    for _, entry in ipairs(systemd.listen_fds()) do
      local sock = entry.socket
      print(entry.name, entry.fd, sock and sock.type, sock and sock.family,
        sock and sock:get_inheritable(), sock and sock:fileno())
    end
  ]]

  it("gives the sockets in their order, with their names", function()
    local path = helper.tmpdir() .. "/socket"
    assert.are.equal(table.concat({
      "web\t3\t1\t2\tfalse\t3", "time\t4\t2\t2\tfalse\t4",
      "web\t5\t1\t1\tfalse\t5", "",
    }, "\n"), output(list, "LISTEN_FDS=3 LISTEN_FDNAMES=web:time:web",
      {"tcp", "udp", "tcp:" .. path}))
  end)

  it("calls unknown what has no name", function()
    assert.are.equal("unknown\t3\t1\t2\tfalse\t3\n",
      output(list, "LISTEN_FDS=1", {"tcp"}))
    assert.are.equal("unknown\t3\t1\t2\tfalse\t3\nb\t4\t1\t2\tfalse\t4\n",
      output(list, "LISTEN_FDS=2 LISTEN_FDNAMES=:b", {"tcp", "tcp"}))
  end)

  it("gives the number of what is no socket", function()
    assert.are.equal("log\t3\tnil\tnil\tnil\tnil\n",
      output(list, "LISTEN_FDS=1 LISTEN_FDNAMES=log", {"file"}))
  end)

  it("takes the variables away, and gives the same again", function()
    assert.are.equal("true\t1\nnone\n", output([[
      local first, second = systemd.listen_fds(), systemd.listen_fds()
      print(first[1].socket == second[1].socket and first ~= second, #second)
      local pipe <close> = io.popen "env | grep LISTEN_ || echo none"
      io.write(pipe:read "a")
    ]], "LISTEN_FDS=1 LISTEN_FDNAMES=web LISTEN_PIDFDID=1", {"tcp"}))
  end)

  it("lets no child have the descriptors", function()
    assert.are.equal("closed\tclosed\n", output([[
      systemd.listen_fds()
      local answers = {}
      for fd = 3, 4 do
        answers[#answers + 1] = os.execute(
          "(true <&" .. fd .. ") 2>/dev/null") and "open" or "closed"
      end
      print(table.unpack(answers))
    ]], "LISTEN_FDS=2", {"tcp", "file"}))
  end)

  it("gives nothing that is for another process", function()
    assert.are.equal("0\tnil\tnil\n", output([[
      print(#systemd.listen_fds(), os.getenv "LISTEN_PID",
        os.getenv "LISTEN_FDS")
    ]], "LISTEN_FDS=1", {"tcp"}, "1"))
  end)

  it("gives nothing where nobody has opened any", function()
    assert.are.same({}, systemd.listen_fds())
    assert.are.same({}, systemd.sockets())
    assert.is_nil(systemd.socket "web")
    assert.is_nil(systemd.socket())
  end)

  for _, row in ipairs {{"x", "EINVAL"}, {"-1", "EINVAL"}, {"", "EINVAL"},
    {"1e3", "EINVAL"}, {"99999999999", "EINVAL"}, {"2", "EBADF"}} do
    it("raises what is no truth: LISTEN_FDS=" .. row[1], function()
      assert.are.equal(row[2] .. "\tnil\n", output([[
        local ok, err = pcall(systemd.listen_fds)
        print(err.code, os.getenv "LISTEN_FDS")
      ]], "LISTEN_FDS=" .. row[1], {"tcp"}))
    end)
  end
end)

describe("systemd.socket", function()
  it("is the one of that name", function()
    assert.are.equal("4\tnil\t2\t3\tfalse\n", output([[
      print(systemd.socket "b":fileno(), systemd.socket "none",
        #systemd.sockets "a", #systemd.sockets(),
        (pcall(systemd.socket, "a")))
    ]], "LISTEN_FDS=3 LISTEN_FDNAMES=a:b:a", {"tcp", "tcp", "tcp"}))
  end)

  it("is no choice among several", function()
    assert.is_truthy(output([[
      print(pcall(systemd.socket))
      print(pcall(systemd.socket, "a"))
    ]], "LISTEN_FDS=2 LISTEN_FDNAMES=a:a", {"tcp", "tcp"}):find(
      "2 sockets have been handed over: .*" ..
      "2 sockets have been handed over as 'a': "))
  end)

  it("wants a name", function()
    helper.misused("string expected", function() systemd.socket(1) end)
    helper.misused("string expected", function() systemd.sockets {} end)
  end)
end)

describe("a server on a socket that is there", function()
  local Upper = {handle = function(self)
    self.request:sendall(self.request:recv(100):upper())
  end}

  it("neither binds nor listens, and knows its address", function()
    local listener = csock.create_server(anywhere)
    local address = listener:getsockname()
    local Server = class("Server", socketserver.ThreadingTCPServer)
    function Server:server_bind() error "bound" end
    function Server:server_activate() error "activated" end
    loop.run(function()
      local server <close> = Server(listener, Upper)
      assert.are.equal(address, server.server_address)
      assert.are.equal(listener, server.socket)
      local task = loop.spawn(server.serve_forever, server)
      assert.are.equal("HELLO", ask(address, "hello"))
      server:shutdown()
      task:join()
    end)
    assert.is_true(listener.closed)
  end)

  it("is the only one, when workers could have their own", function()
    if not csock.SO_REUSEPORT then
      return pending "no SO_REUSEPORT on this machine"
    end
    local listener = csock.create_server(anywhere, {reuse_port = true})
    local Server = class("Server", socketserver.PreforkTCPServer,
      {workers = 2})
    function Server:server_bind() error "bound" end
    loop.run(function()
      local server <close> = Server(listener, Upper)
      local task = loop.spawn(server.serve_forever, server)
      assert.are.equal("HELLO", ask(server.server_address, "hello"))
      server:shutdown()
      task:join()
    end)
  end)

  it("leaves it to others who have it, when it ends", function()
    local listener = csock.create_server(anywhere)
    local address = listener:getsockname()
    local kept <close> = listener:dup()
    for _ = 1, 2 do
      loop.run(function()
        local server <close> = socketserver.ThreadingTCPServer(kept:dup(),
          Upper)
        local task = loop.spawn(server.serve_forever, server)
        assert.are.equal("HELLO", ask(address, "hello"))
        server:shutdown()
        task:join()
      end)
    end
    listener:close()
    local client <close> = csock.create_connection(address, 40) -- it may wait
    client:sendall "hello"
    assert.is_truthy(kept:accept():close())
  end)

  it("takes over the family", function()
    local path = helper.tmpdir() .. "/socket"
    local listener = csock.socket(csock.AF_UNIX)
    listener:bind(path)
    listener:listen()
    loop.run(function()
      do
        local server <close> = socketserver.ThreadingTCPServer(listener, Upper)
        assert.are.equal(csock.AF_UNIX, server.address_family)
        local task = loop.spawn(server.serve_forever, server)
        assert.are.equal("HELLO", ask(path, "hello"))
        server:shutdown()
        task:join()
      end
      local other <close> = csock.socket(csock.AF_UNIX)
      assert.are.equal(csock.ECONNREFUSED, other:connect_ex(path)) -- not gone
    end)
  end)

  it("wants one of its type", function()
    local sock <close> = csock.socket(csock.AF_INET, csock.SOCK_DGRAM)
    helper.misused("a socket of another type", function()
      socketserver.TCPServer(sock, Upper)
    end)
    assert.is_false(sock.closed)
  end)

  for _, name in ipairs {"TCPServer", "ThreadingTCPServer",
    "ForkingTCPServer", "PreforkTCPServer"} do
    it("serves what a manager has opened: " .. name, function()
      local process, places = activate(([[
        local server <close> = socketserver.%s(
          systemd.socket "web" or {"", 0}, Upper)
        server.workers = 2
        server:serve_forever()
      ]]):format(name), "LISTEN_FDS=2 LISTEN_FDNAMES=other:web",
        {"tcp", "tcp"})
      for _ = 1, 4 do assert.are.equal("HELLO", ask(places[2], "hello")) end
      process:kill "TERM"
      assert.is_true(process:wait())
    end)
  end

  it("serves datagrams, and leaves a manager's path alone", function()
    local directory = helper.tmpdir()
    local process, places = activate([[
      local server <close> = socketserver.ThreadingUnixDatagramServer(
        systemd.socket(), Upper)
      server:serve_forever()
    ]], "LISTEN_FDS=1", {"udp:" .. directory .. "/socket"})
    local sock <close> = csock.socket(csock.AF_UNIX, csock.SOCK_DGRAM)
    sock.timeout = 40
    sock:bind(directory .. "/client")
    sock:sendto("hello", places[1])
    assert.are.equal("HELLO", (sock:recvfrom(100)))
    process:kill "TERM"
    assert.is_true(process:wait())
    assert.is_true(os.rename(places[1], directory .. "/there"))
  end)

  it("serves what systemd has opened", function()
    if not helper.has "systemd-socket-activate" then
      return pending "no systemd-socket-activate on this machine"
    end
    local path = helper.tmpdir() .. "/socket"
    local process = helper.spawn_process(
      ("systemd-socket-activate -E LUA_PATH -E LUA_CPATH --fdname=web " ..
        "-l %s sh -c %s 2>&1"):format(path, helper.quote("exec " ..
        helper.lua .. " " .. program [[
          local server <close> = socketserver.ThreadingUnixStreamServer(
            systemd.socket "web", Upper)
          print "serving"
          server:serve_forever()
        ]])))
    assert.is_truthy(process:read "l":find "Listening on")
    assert.are.equal("HELLO", ask(path, "hello"))
    process:kill "TERM"
    local rest = process:read "a"
    assert.is_truthy(rest:find "serving\n$", rest)
  end)
end)

-- Notifications -------------------------------------------------------------

-- What a manager hears, and the name of its socket.
local function listen(abstract)
  local name = helper.tmpdir() .. "/notify"
  local sock = csock.socket(csock.AF_UNIX, csock.SOCK_DGRAM)
  sock:bind(abstract and "\0" .. name or name)
  sock.timeout = 40
  return sock, abstract and "@" .. name or name
end

local function notifying(text, path, variables)
  local name = program(text)
  return helper.spawn_process(("env NOTIFY_SOCKET=%s %s %s %s 2>&1"):format(
    path, variables or "", helper.lua, name))
end

-- The next message that is no ping, and how many pings came before.
local function hear(manager)
  local pings = 0
  while true do
    local message = manager:recv(4096)
    if message ~= "WATCHDOG=1" then return message, pings end
    pings = pings + 1
  end
end

local function silent(manager, seconds)
  manager.timeout = seconds
  local ok, err = pcall(manager.recv, manager, 4096)
  manager.timeout = 40
  return not ok and (csock.isinstance(err, csock.timeout) or
    csock.isinstance(err, csock.BlockingIOError))
end

describe("systemd.notify", function()
  for _, way in ipairs {"path", "abstract name"} do
    it("tells a manager with a " .. way, function()
      if way ~= "path" and not io.open "/proc/self/net/unix" then
        return pending "no abstract names on this machine"
      end
      local sock, name = listen(way ~= "path")
      local manager <close> = sock
      local process = notifying([[
        print(systemd.notify "STATUS=busy\nERRNO=2")
      ]], name)
      assert.are.equal("STATUS=busy\nERRNO=2", manager:recv(100))
      assert.are.equal("true", process:read "l")
    end)
  end

  it("is false where there is none", function()
    assert.are.equal("false\n",
      notifying("print(systemd.notify 'READY=1')", ""):read "a")
  end)

  it("raises what the world refuses", function()
    local directory = helper.tmpdir()
    for path, code in pairs {[directory .. "/none"] = "ENOENT",
      ["vsock:2:1"] = "EAFNOSUPPORT", ["relative"] = "EAFNOSUPPORT"} do
      assert.are.equal(code .. "\n", notifying([[
        print(select(2, pcall(systemd.notify, "READY=1")).code)
      ]], path):read "a")
    end
  end)

  it("wants lines", function()
    helper.misused("lines expected", function() systemd.notify() end)
    helper.misused("lines expected", function() systemd.notify "" end)
    helper.misused("lines expected", function() systemd.notify {} end)
  end)
end)

describe("systemd.watchdog", function()
  local ask_watchdog = "print(systemd.watchdog())"
  for _, row in ipairs {
    {"WATCHDOG_USEC=1500000", "1.5"}, {"", "nil"},
    {"WATCHDOG_USEC=0", "nil"}, {"WATCHDOG_USEC=x", "nil"},
    {"WATCHDOG_USEC=1000000 WATCHDOG_PID=1", "nil"},
  } do
    it("is " .. row[2] .. ": " .. row[1], function()
      assert.are.equal(row[2] .. "\n",
        notifying(ask_watchdog, "", row[1]):read "a")
    end)
  end
end)

describe("serve_forever, for a manager,", function()
  local serve = [[
    local server <close> = socketserver.%s({"127.0.0.1", 0}, Upper)
    server.workers = 2
    print(server.server_address[2])
    server:serve_forever()
  ]]

  for _, name in ipairs {"TCPServer", "ThreadingTCPServer", "UDPServer",
    "ForkingTCPServer", "PreforkTCPServer"} do
    it("tells when it serves and when it ends: " .. name, function()
      local sock, path = listen()
      local manager <close> = sock
      local process = notifying(serve:format(name), path)
      local port = process:read "n"
      assert.are.equal("READY=1\nSTATUS=Serving on 127.0.0.1:" .. port,
        hear(manager))
      if name ~= "UDPServer" then
        assert.are.equal("HELLO", ask({"127.0.0.1", port}, "hello"))
      end
      process:kill "TERM"
      assert.are.equal("STOPPING=1\nSTATUS=Finishing requests", hear(manager))
      assert.is_true(process:wait())
      assert.is_true(silent(manager, 0), "heard more") -- of no child
    end)
  end

  it("tells of a reload", function()
    local sock, path = listen()
    local manager <close> = sock
    local process = notifying(serve:format "PreforkTCPServer", path)
    assert.is_truthy(hear(manager):find "^READY=1\n")
    local before = loop.now()
    process:kill "HUP"
    local reloading = hear(manager)
    local microseconds = reloading:match "^RELOADING=1\nMONOTONIC_USEC=(%d+)\n"
    assert.is_truthy(microseconds, reloading)
    assert.is_true(tonumber(microseconds) + 1 >= before * 1e6)
    assert.is_truthy(hear(manager):find "^READY=1\n")
    process:kill "TERM"
    assert.is_truthy(hear(manager):find "^STOPPING=1\n")
    assert.is_true(process:wait())
  end)

  it("is not ready before its workers are", function()
    local sock, path = listen()
    local manager <close> = sock
    local directory = helper.tmpdir()
    local process = notifying([[
      local Slow = class("Slow", socketserver.PreforkTCPServer, {workers = 2})
      function Slow:worker_start(id)
        systemd.notify("X_STARTED=" .. id)
        while id == 2 and not io.open(arg[1] .. "/go") do loop.sleep(0.01) end
      end
      arg[1] = "]] .. directory .. [["
      local server <close> = Slow({"127.0.0.1", 0}, Upper)
      server:serve_forever()
    ]], path)
    local started = {hear(manager), (hear(manager))}
    table.sort(started)
    assert.are.same({"X_STARTED=1", "X_STARTED=2"}, started)
    assert.is_true(silent(manager, 0.05))
    assert(io.open(directory .. "/go", "w")):close()
    assert.is_truthy(hear(manager):find "^READY=1\n")
    process:kill "TERM"
    assert.is_true(process:wait())
  end)

  it("pings at least twice as often as it has to", function()
    helper.by_clock(0.08, function(seconds)
      local sock, path = listen()
      local manager <close> = sock
      notifying([[
        local server = socketserver.TCPServer({"127.0.0.1", 0}, Upper)
        loop.run(function()
          loop.spawn(server.serve_forever, server)
          for i = 1, 5 do
            loop.sleep(]] .. seconds .. [[)
            systemd.notify("X_TIME=" .. i)
          end
        end)
      ]], path, ("WATCHDOG_USEC=%d"):format(seconds * 1e6 // 1))
      assert.is_truthy(hear(manager):find "^READY=1\n")
      local pings = 0
      for i = 1, 5 do
        local time, more = hear(manager)
        assert.are.equal("X_TIME=" .. i, time)
        pings = pings + more
      end
      assert.is_true(pings >= 7, pings .. " pings")
    end)
  end)

  it("pings until its loop is blocked", function()
    local sock, path = listen()
    local manager <close> = sock
    local process = notifying([[
      local server = socketserver.ThreadingTCPServer({"127.0.0.1", 0}, {
        handle = function() while true do end end,
      })
      print(server.server_address[2])
      server:serve_forever()
    ]], path, "WATCHDOG_USEC=40000")
    local port = process:read "n"
    assert.is_truthy(hear(manager):find "^READY=1\n")
    for _ = 1, 3 do assert.are.equal("WATCHDOG=1", manager:recv(100)) end
    local client <close> = csock.create_connection({"127.0.0.1", port}, 40)
    client:sendall "now"
    local pings = 0
    while not silent(manager, 0.3) do
      pings = pings + 1
      assert.is_true(pings < 1000)
    end
  end)

  it("does not ping for another process", function()
    local sock, path = listen()
    local manager <close> = sock
    notifying(serve:format "TCPServer", path,
      "WATCHDOG_USEC=20000 WATCHDOG_PID=1")
    assert.is_truthy(hear(manager):find "^READY=1\n")
    assert.is_true(silent(manager, 0.1))
  end)

  it("may be told to keep silent", function()
    local sock, path = listen()
    local manager <close> = sock
    local process = notifying([[
      local server = class("Silent", socketserver.TCPServer,
        {notify = false})({"127.0.0.1", 0}, Upper)
      print(server.server_address[2])
      server:serve_forever()
    ]], path, "WATCHDOG_USEC=20000")
    assert.are.equal("HELLO", ask({"127.0.0.1", process:read "n"}, "hello"))
    process:kill "TERM"
    assert.is_true(process:wait())
    assert.is_true(silent(manager, 0))
  end)

  it("stops when the last of several servers does", function()
    local sock, path = listen()
    local manager <close> = sock
    local process = notifying([[
      loop.run(function()
        local servers, tasks = {}, {}
        for i = 1, 2 do
          servers[i] = socketserver.ThreadingTCPServer({"127.0.0.1", 0}, Upper)
          tasks[i] = loop.spawn(servers[i].serve_forever, servers[i])
        end
        loop.sleep(0)
        for i = 1, 2 do
          systemd.notify("X_END=" .. i)
          servers[i]:shutdown()
          tasks[i]:join()
          servers[i]:server_close()
        end
        loop.sleep(0)
        systemd.notify("X_TASKS=" .. #loop.tasks())
      end)
    ]], path, "WATCHDOG_USEC=1000000")
    local heard = {}
    for i = 1, 6 do heard[i] = hear(manager):match "^[^\n]*" end
    assert.are.same({"READY=1", "READY=1", "X_END=1", "X_END=2", "STOPPING=1",
      "X_TASKS=1"}, heard)
    assert.is_true(process:wait())
  end)

  it("serves on when nobody listens", function()
    local process = notifying(serve:format "TCPServer",
      helper.tmpdir() .. "/none", "WATCHDOG_USEC=20000")
    assert.are.equal("HELLO", ask({"127.0.0.1", process:read "n"}, "hello"))
    process:kill "TERM"
    assert.is_true(process:wait())
  end)

  it("serves on, and pings again, when the manager was away", function()
    local sock, path = listen()
    local process = notifying(serve:format "TCPServer", path,
      "WATCHDOG_USEC=20000")
    local port = process:read "n"
    assert.is_truthy(hear(sock):find "^READY=1\n")
    sock:close()
    assert.are.equal("HELLO", ask({"127.0.0.1", port}, "hello"))
    process:kill "TERM"
    assert.is_true(process:wait())
  end)
end)
