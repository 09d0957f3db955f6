-- scale_out: csock servers behind the real HAProxy, with the configuration of
-- examples/scale-out: who the client is, health, a machine that is drained, and
-- one that dies under load; and the units for systemd.
-- Pending where haproxy, or systemd-analyze, is not installed.

local helper = require "spec.helper"
local csock = require "csock"
local loop = require "csock.loop"

local haproxy = helper.has "haproxy" and "haproxy" or
  helper.has "/usr/sbin/haproxy" and "/usr/sbin/haproxy"
local directory = "examples/scale-out/"

-- Machines and the balancer -------------------------------------------------

-- A machine prints the number of each request it has in its hands, and has it
-- there for a moment.
local machine = [[
  local csock = require "csock"
  local socketserver = require "csock.socketserver"
  local loop = require "csock.loop"
  io.stdout:setvbuf "line"
  local Upper = csock.class("Upper", socketserver.StreamRequestHandler)
  function Upper:handle()
    for line in self.rfile:lines() do
      if line ~= "health" then
        print(line)
        loop.sleep(0.005)
      end
      self.wfile:write(line:upper(), "\n")
    end
  end
  local Service = csock.class("Service", socketserver.ThreadingTCPServer,
    {proxy_protocol = {"127.0.0.1"}})
  local server <close> = Service({"127.0.0.1", 0}, Upper)
  print(server.server_address[2])
  server:serve_forever()
]]

local function start_machine()
  local name = helper.tmpdir() .. "/machine.lua"
  local file = assert(io.open(name, "w"))
  file:write(machine)
  file:close()
  local process = helper.spawn_process(helper.lua .. " " .. name .. " 2>&1")
  process.port = process:read "n"
  assert.is_truthy(process.port, "no machine")
  process:read "l"
  return process
end

-- Waits for a machine's end: the requests that it had in its hands.
local function begun(process)
  local set = {}
  for line in process.pipe:lines() do set[line] = true end
  process:wait()
  return set
end

-- The balancer before these ports: where it listens, and a function that sends
-- it a command, and returns the answer.
local function start_balancer(one, two)
  local listener = csock.create_server({"127.0.0.1", 0})
  local front <close> = listener
  front:set_inheritable(true)
  local admin = helper.tmpdir() .. "/admin"
  helper.spawn_process(("env CSOCK_FRONT=fd@%d CSOCK_ADMIN=%s " ..
    "CSOCK_ONE=127.0.0.1:%d CSOCK_TWO=127.0.0.1:%d " ..
    "%s -q -db -f %shaproxy.cfg 2>/dev/null"):format(front:fileno(), admin,
    one, two, haproxy, directory))
  local function command(text)
    local sock <close> = csock.socket(csock.AF_UNIX)
    sock.timeout = 50
    while sock:connect_ex(admin) ~= 0 do os.execute "sleep 0.01" end
    sock:sendall(text .. "\n")
    local answer = {}
    repeat
      answer[#answer + 1] = sock:recv(65536)
    until answer[#answer] == ""
    return table.concat(answer)
  end
  return front:getsockname(), command
end

-- A field of a machine's line in HAProxy's statistics.
local function statistic(command, name, field)
  local text = command "show stat"
  local fields = {}
  for word in text:match "^# ([^\n]*)":gmatch "([^,]*)," do
    fields[#fields + 1] = word
  end
  local values = text:match("\ncsock," .. name .. ",([^\n]*)")
  local i = 2
  for value in values:gmatch "([^,]*)," do
    i = i + 1
    if fields[i] == field then return value end
  end
end

-- Lets the load go on until a machine's state or number is as it should be.
local function await(command, name, field, value)
  while statistic(command, name, field) ~= value do loop.sleep(0.01) end
end

-- What a client gets for one request on a connection of its own; nil when the
-- connection ends without an answer.
local function ask(address, words)
  local ok, answer = pcall(function()
    local sock <close> = csock.create_connection(address, 50)
    sock:sendall(words .. "\n")
    local text = ""
    repeat
      local data = sock:recv(100)
      text = text .. data
    until data == "" or text:find "\n"
    return text
  end)
  if ok and answer ~= "" then return (answer:gsub("\n", "")) end
  if not ok and not (csock.isinstance(answer, csock.ConnectionError)) then
    error(answer, 0)
  end
  return nil
end

-- Clients that ask, one request after the other, until `stop` is set: a table
-- with `answered` (count), `lost` (client -> list of requests), `tasks`.
local CLIENTS = 8
local function begin_load(address)
  local load = {answered = 0, lost = {}, tasks = {}, asked = 0}
  for client = 1, CLIENTS do
    load.lost[client] = {}
    load.tasks[client] = loop.spawn(function()
      local n = 0
      while not load.stop do
        n = n + 1
        load.asked = load.asked + 1
        local name = client .. "-" .. n
        local answer = ask(address, name)
        if answer then
          assert.are.equal(name, answer)
          load.answered = load.answered + 1
        else
          table.insert(load.lost[client], name)
        end
      end
    end)
  end
  return load
end

local function end_load(load)
  load.stop = true
  for _, task in ipairs(load.tasks) do task:join() end
end

local function until_answered(load, more)
  local goal = load.answered + more
  while load.answered < goal do loop.sleep(0.005) end
end

local function lost(load)
  local list = {}
  for _, names in ipairs(load.lost) do
    table.move(names, 1, #names, #list + 1, list)
  end
  return list
end

-- f(command, load, one, two), under load, with both machines healthy.
local function under_load(f)
  local one, two = start_machine(), start_machine()
  local address, command = start_balancer(one.port, two.port)
  loop.run(function()
    await(command, "one", "check_status", "L7OK")
    await(command, "two", "check_status", "L7OK")
    local load = begin_load(address)
    until_answered(load, 50)
    f(command, load, one, two)
    end_load(load)
    assert.are.equal(load.asked, load.answered + #lost(load))
  end)
end

describe("behind HAProxy", function()
  local function test(name, f)
    it(name, function()
      if not haproxy then return pending "haproxy is not installed" end
      f()
    end)
  end

  test("the example knows its clients", function()
    local name = helper.lua .. " " .. directory .. "service.lua 0 2>&1"
    local process = helper.spawn_process(name)
    local port = tonumber(process:read "l":match ":(%d+)$")
    local unused = helper.deserted_port()
    local address = start_balancer(port, unused)
    local sock <close> = csock.create_connection(address, 50)
    sock:sendall "hello\n"
    assert.are.equal(("HELLO %s\n"):format(sock:getsockname()), sock:recv(100))
  end)

  test("a machine that dies takes nothing but what it has in its hands",
    function()
      under_load(function(command, load, one, two)
        assert.are.same({}, lost(load))
        one:kill "KILL"
        -- No client begins another request before this returns: while the
        -- kernel takes a dead process apart, its listener may outlive its
        -- connections, and take and lose one more.
        local hers = begun(one)
        until_answered(load, 100)
        await(command, "one", "status", "DOWN")
        until_answered(load, 100)
        end_load(load)
        two:kill "TERM"
        local its = begun(two)
        assert.is_truthy(next(hers))
        for client, names in ipairs(load.lost) do
          assert.is_true(#names <= 1, client .. " lost more than one")
        end
        for _, request in ipairs(lost(load)) do
          assert.is_nil(its[request], "two has lost " .. request)
        end
      end)
    end)

  test("a machine that is drained loses nothing, and may come back",
    function()
      under_load(function(command, load, one, two)
        command "set server csock/one state drain"
        await(command, "one", "scur", "0")
        one:kill "TERM"
        local how = one:read "a" and table.pack(one:wait())
        assert.are.same({true, "exit", 0, n = 3}, how)
        until_answered(load, 50)
        assert.are.equal("0", statistic(command, "one", "scur"))
        local back = start_machine()
        command("set server csock/one addr 127.0.0.1 port " .. back.port)
        command "set server csock/one state ready"
        until_answered(load, 50)
        while statistic(command, "one", "scur") == "0" do loop.sleep(0) end
        end_load(load)
        assert.are.same({}, lost(load))
        two:kill "TERM"
        back:kill "TERM"
        assert.is_truthy(next(begun(back)))
      end)
    end)
end)

describe("the units for systemd", function()
  it("are well made", function()
    if not helper.has "systemd-analyze" then
      return pending "systemd-analyze is not installed"
    end
    local there = helper.tmpdir()
    for _, name in ipairs {"upper.service", "upper.socket"} do
      local from <close> = assert(io.open(directory .. name))
      local to <close> = assert(io.open(there .. "/" .. name, "w"))
      -- the program is not installed here
      to:write((from:read "a":gsub("ExecStart=%S+", "ExecStart=/bin/true")))
    end
    local process = helper.spawn_process(
      ("systemd-analyze verify %s/upper.service %s/upper.socket 2>&1"):format(
        there, there))
    assert.are.equal("", process:read "a")
    assert.is_true(process:wait())
  end)
end)
