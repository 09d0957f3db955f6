-- examples/files.lua and examples/http.lua: HTTP as other programs speak it,
-- and as only bad ones do.

local csock = require "csock"
local example = require "spec.example"
local helper = require "spec.helper"
local loop = require "csock.loop"
local lfs = require "lfs"

local HELLO = "Hello, world!\n"

local function write(path, data)
  local file <close> = assert(io.open(path, "wb"))
  file:write(data)
end

-- A directory with a bit of everything, and a server of it.
local function serve()
  local root = helper.tmpdir()
  local big = {}
  for i = 1, 50000 do big[i] = ("%06d\n"):format(i) end
  local server
  write(root .. "/hello.txt", HELLO)
  write(root .. "/index.html", "<h1>index</h1>")
  write(root .. "/empty", "")
  write(root .. "/a b%.json", "{}")
  write(root .. "/big.bin", table.concat(big))
  write(root .. "/.secret", "secret")
  lfs.mkdir(root .. "/sub")
  write(root .. "/sub/index.html", "<h1>sub</h1>")
  lfs.mkdir(root .. "/bare")
  lfs.link("/etc/passwd", root .. "/link", true)
  lfs.link("/etc", root .. "/linked", true)
  server = example.serve("files", root, 0)
  server.root, server.big = root, table.concat(big)
  return server
end

-- All answers to these bytes, up to the end of the connection.
local function talk(server, ...)
  local sock <close> = example.connect(server)
  sock:sendall(table.concat {...})
  return example.drain(sock)
end

local function get(target, headers)
  return ("GET %s HTTP/1.1\r\nHost: x\r\n%sConnection: close\r\n\r\n"):format(
    target, headers or "")
end

local function status(answer)
  return tonumber(answer:match "^HTTP/1.1 (%d%d%d)")
end
local function body(answer) return answer:match "\r\n\r\n(.*)$" end
local function header(answer, name)
  return answer:match("\r\n" .. name:gsub("%-", "%%-") .. ": ([^\r]*)\r\n")
end

describe("examples/files.lua", function()
  local server
  before_each(function() server = serve() end)

  -- What was made of a line is kept, for whoever says the same.
  it("takes header lines that come again as it took them at first", function()
    for _ = 1, 2 do
      assert.are.equal("Hell", body(talk(server,
        get("/hello.txt", "Range:  bytes=0-3 \r\nCookie: a\r\n"))))
      assert.are.equal("ello", body(talk(server,
        get("/hello.txt", "RANGE:bytes=1-4\r\nCookie: b\r\n"))))
      assert.are.equal(400, status(talk(server, get("/", "no header\r\n"))))
      assert.are.equal(431, status(talk(server,
        get("/", ("A: b\r\n"):rep(100)))))
    end
    for i = 1, 12 do -- more of them than are kept
      local lines = {}
      for j = 1, 95 do lines[j] = ("X%d-%d: y\r\n"):format(i, j) end
      lines[96] = "Range: bytes=0-3\r\n"
      assert.are.equal("Hell",
        body(talk(server, get("/hello.txt", table.concat(lines)))))
    end
    example.stop_silent(server)
  end)

  it("serves files, with their type, size and date", function()
    local answer = talk(server, get "/hello.txt")
    assert.are.equal(200, status(answer))
    assert.are.equal(HELLO, body(answer))
    assert.are.equal("14", header(answer, "Content-Length"))
    assert.are.equal("text/plain; charset=utf-8",
      header(answer, "Content-Type"))
    assert.are.equal("close", header(answer, "Connection"))
    local modified = lfs.attributes(server.root .. "/hello.txt", "modification")
    assert.are.equal(os.date("!%a, %d %b %Y %H:%M:%S GMT", modified),
      header(answer, "Last-Modified"))
    assert.matches("^%a%a%a, %d%d %a%a%a %d%d%d%d %d%d:%d%d:%d%d GMT$",
      header(answer, "Date"))
    assert.are.equal("application/octet-stream",
      header(talk(server, get "/big.bin"), "Content-Type"))
    example.stop_silent(server)
  end)

  it("finds what is there, however it is spelt", function()
    for target, wanted in pairs {
      ["/"] = "<h1>index</h1>", ["/sub/"] = "<h1>sub</h1>",
      ["/empty"] = "", ["/a%20b%25.json"] = "{}",
      ["/%68ello.txt?q=%00"] = HELLO,
      ["//hello.txt#x"] = HELLO, ["http://example.org/hello.txt"] = HELLO,
      ["/big.bin"] = server.big,
    } do
      local answer = talk(server, get(target))
      assert.are.equal(200, status(answer), target)
      assert.are.equal(wanted, body(answer))
    end
    local answer = talk(server, get "/sub?x")
    assert.are.equal(301, status(answer))
    assert.are.equal("/sub/", header(answer, "Location"))
    example.stop_silent(server)
  end)

  it("gives nothing else away", function()
    for target, wanted in pairs {
      ["/nothing"] = 404, ["/hello.txt/"] = 404, ["/hello.txt/x"] = 404,
      ["/.secret"] = 404, ["/.."] = 404, ["/../etc/passwd"] = 404,
      ["/sub/../hello.txt"] = 404, ["/%2e%2e/etc/passwd"] = 404,
      ["/..%2f..%2fetc/passwd"] = 404, ["/link"] = 404,
      ["/linked/passwd"] = 404, ["/bare/"] = 404, ["/hello.txt%00"] = 400,
      ["/%"] = 400, ["/%2"] = 400, ["/%zz"] = 400, ["hello.txt"] = 400,
      ["*"] = 400,
    } do
      local answer = talk(server, get(target))
      assert.are.equal(wanted, status(answer), target)
      assert.is_nil(answer:find("root:", 1, true), target)
    end
    example.stop_silent(server)
  end)

  it("sees a file that has changed, soon", function()
    assert.are.equal(HELLO, body(talk(server, get "/hello.txt")))
    write(server.root .. "/hello.txt", "Hello again!\n")
    local answer
    repeat
      if answer then loop.sleep(0.01) end
      answer = body(talk(server, get "/hello.txt"))
    until answer ~= HELLO
    assert.are.equal("Hello again!\n", answer)
    example.stop_silent(server)
  end)

  it("answers HEAD with a head", function()
    for _, name in ipairs {"/hello.txt", "/big.bin", "/nothing"} do
      local answer = talk(server, (get(name):gsub("^GET", "HEAD")))
      assert.are.equal("", body(answer))
      local whole = talk(server, get(name))
      assert.are.equal(status(whole), status(answer))
      assert.are.equal(header(whole, "Content-Length"),
        header(answer, "Content-Length"))
    end
    example.stop_silent(server)
  end)

  it("sends nothing that the client has already", function()
    local modified = header(talk(server, get "/hello.txt"), "Last-Modified")
    local answer = talk(server, get("/hello.txt",
      "If-Modified-Since: " .. modified .. "\r\n"))
    assert.are.equal(304, status(answer))
    assert.are.equal("", body(answer))
    assert.is_nil(header(answer, "Content-Length"))
    assert.are.equal(200, status(talk(server, get("/hello.txt",
      "If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\n"))))
    example.stop_silent(server)
  end)

  it("sends parts", function()
    local big = server.big
    for range, wanted in pairs {
      ["0-6"] = {1, 7}, ["7-13"] = {8, 14}, ["349993-"] = {349994, 350000},
      ["-7"] = {349994, 350000}, ["349999-400000"] = {350000, 350000},
      ["-999999999999999999999"] = {1, 350000},
    } do
      local answer = talk(server, get("/big.bin", "Range: bytes=" .. range ..
        "\r\n"))
      assert.are.equal(206, status(answer), range)
      assert.are.equal(big:sub(table.unpack(wanted)), body(answer))
      assert.are.equal(("bytes %d-%d/350000"):format(wanted[1] - 1,
        wanted[2] - 1), header(answer, "Content-Range"))
    end
    for _, range in ipairs {"350000-", "8-7", "-0", "99999999999999999999-"} do
      local answer = talk(server, get("/big.bin", "Range: bytes=" .. range ..
        "\r\n"))
      assert.are.equal(416, status(answer), range)
      assert.are.equal("bytes */350000", header(answer, "Content-Range"))
    end
    for _, range in ipairs {"bytes=0-1,3-4", "lines=1-2", "bytes=-", "x"} do
      assert.are.equal(200, status(talk(server, get("/hello.txt", "Range: " ..
        range .. "\r\n"))), range)
    end
    assert.are.equal(200, status(talk(server, get("/hello.txt",
      "Range: bytes=0-1\r\nIf-Range: yesterday\r\n"))))
    example.stop_silent(server)
  end)

  it("answers many requests on a connection, sent without waiting", function()
    local requests = {}
    for i = 1, 200 do
      requests[i] = ("GET %s HTTP/1.1\r\nHost: x\r\n\r\n"):format(
        i % 10 == 0 and "/big.bin" or i % 7 == 0 and "/nothing" or "/hello.txt")
    end
    requests[201] = get "/empty"
    local sock <close> = example.connect(server)
    sock:sendall(table.concat(requests):sub(1, -3)) -- the last one in two
    local file <close> = sock:makefile "r"
    for i = 1, 201 do
      if i == 201 then sock:sendall "\r\n" end
      local line, length = file:read "l", nil
      for field in file:lines() do
        if field == "\r" then break end
        length = tonumber(field:match "^Content%-Length: (%d+)") or length
      end
      local data = file:read(length)
      if i == 201 then
        assert.are.equal("", data)
      elseif i % 10 == 0 then
        assert.are.equal(server.big, data)
      else
        assert.are.equal(i % 7 == 0 and "404 Not Found\n" or HELLO, data)
        assert.matches(i % 7 == 0 and " 404 " or " 200 ", line)
      end
    end
    assert.are.equal("", file:read(1))
    example.stop_silent(server)
  end)

  it("reads each of a connection's requests anew", function()
    local modified = header(talk(server, get "/hello.txt"), "Last-Modified")
    local sock <close> = example.connect(server)
    local file <close> = sock:makefile "r"
    local host = "Host: x\r\n"
    local since = host .. "If-Modified-Since: " .. modified .. "\r\n"
    local function ask(line, headers)
      sock:sendall(line .. "\r\n" .. headers .. "\r\n")
      local answer = file:readhead()
      local length = tonumber(header(answer, "Content-Length"))
      return status(answer), not line:find "^HEAD" and length and
        file:read(length) or "", header(answer, "Connection")
    end
    for _ = 1, 2 do
      for _, case in ipairs {
        {"GET /hello.txt HTTP/1.1", host, 200, HELLO},
        {"GET /hello.txt HTTP/1.1", host, 200, HELLO},
        {"GET /hello.txt HTTP/1.1", since, 304, ""},
        {"HEAD /hello.txt HTTP/1.1", host, 200, ""},
        {"GET /hello.txt HTTP/1.1", host .. "Range: bytes=0-4\r\n", 206,
          HELLO:sub(1, 5)},
        {"GET /hello.txt HTTP/1.1", "host: y\r\n", 200, HELLO},
        {"GET /empty HTTP/1.1", "host: y\r\n", 200, ""},
        {"PUT /empty HTTP/1.1", "host: y\r\n", 405,
          "405 Method Not Allowed\n"},
        {"GET /hello.txt HTTP/1.0", host .. "Connection: keep-alive\r\n", 200,
          HELLO, "keep-alive"},
        {"GET /hello.txt HTTP/1.1", host .. "Connection: keep-alive\r\n", 200,
          HELLO},
      } do
        local line, headers, code, text, connection = table.unpack(case)
        assert.are.same({code, text, connection}, {ask(line, headers)}, line)
      end
    end
    -- the same header lines, but an older protocol, whose default is to close
    assert.are.same({200, HELLO}, {ask("GET /hello.txt HTTP/1.1", host)})
    assert.are.same({200, HELLO, "close"},
      {ask("GET /hello.txt HTTP/1.0", host)})
    assert.are.equal("", file:read(1))
    example.stop_silent(server)
  end)

  it("sends the answers to what has come together by one call", function()
    local request = "GET /empty HTTP/1.1\r\nHost: x\r\n\r\n"
    local sock <close> = example.connect(server)
    sock:sendall(request:rep(20))
    local file <close> = sock:makefile("r", 65536)
    local sizes = {}
    for i = 1, 20 do
      file:readhead()
      sizes[i] = file.pending
    end
    assert.are.equal(0, sizes[20])
    for i = 1, 19 do assert.is_true(sizes[i] > 0) end
    example.stop_silent(server)
  end)

  it("keeps no answer while it waits for the rest of a request", function()
    local sock <close> = example.connect(server)
    sock:sendall "GET /empty HTTP/1.1\r\nHost: x\r\n\r\nGET /empty HTTP/1.1\r\n"
    local answer = example.take(sock, 10)
    assert.are.equal("HTTP/1.1 2", answer)
    sock:close()
    example.stop_silent(server)
  end)

  it("speaks HTTP/1.0", function()
    assert.are.equal(HELLO,
      body(talk(server, "GET /hello.txt HTTP/1.0\r\n\r\n")))
    local sock <close> = example.connect(server)
    local request = "GET /hello.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    local function answer()
      local data = ""
      repeat data = data .. sock:recv(1) until data:find(HELLO, 1, true)
      return data
    end
    sock:sendall(request)
    assert.are.equal("keep-alive", header(answer(), "Connection"))
    sock:sendall(request)
    assert.are.equal(200, status(answer()))
    sock:close()
    example.stop_silent(server)
  end)

  it("refuses what is no request", function()
    local long = ("x"):rep(10000)
    for request, wanted in pairs {
      ["hello\r\n\r\n"] = 400, ["GET / HTTP/1.1\r\n\r\n"] = 400,
      ["GET  / HTTP/1.1\r\nHost: x\r\n\r\n"] = 400,
      ["get / HTTP/1.1\r\nHost: x\r\n\r\n"] = 400,
      ["GET / HTTP/2.0\r\nHost: x\r\n\r\n"] = 505,
      ["GET / HTTP/1.1\r\nHost : x\r\n\r\n"] = 400,
      ["GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n"] = 400,
      ["GET / HTTP/1.1\r\nHost: x\0\r\n\r\n"] = 400,
      ["GET / HTTP/1.1\r\nHost: x\rEvil: y\r\n\r\n"] = 400,
      ["GET /" .. long .. " HTTP/1.1\r\nHost: x\r\n\r\n"] = 414,
      ["GET / HTTP/1.1\r\nHost: x\r\nA: " .. long .. "\r\n\r\n"] = 431,
      ["GET / HTTP/1.1\r\nHost: x\r\n" .. ("A: b\r\n"):rep(200) .. "\r\n"] =
        431,
      ["POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"] = 405,
      ["GET / HT\n"] = 400,
      ["DELETE /hello.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"] =
        405,
    } do
      local answer = talk(server, request)
      assert.are.equal(wanted, status(answer), request:sub(1, 60))
      assert.are.equal("close", header(answer, "Connection"))
    end
    assert.are.equal("GET, HEAD", header(talk(server,
      "PUT / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"), "Allow"))
    example.stop_silent(server)
  end)

  it("takes no second request out of a body", function()
    local inner = "GET /hello.txt HTTP/1.1\r\nHost: x\r\n\r\n"
    for _, framing in ipairs {"Content-Length: " .. #inner,
      "Content-Length: 0\r\nContent-Length: 5", "Transfer-Encoding: chunked"} do
      local answer = talk(server, "GET / HTTP/1.1\r\nHost: x\r\n", framing,
        "\r\n\r\n", inner)
      local _, answers = answer:gsub("HTTP/1.1 200 OK", "")
      assert.are.equal(1, answers, framing)
      assert.is_nil(answer:find(HELLO, 1, true))
    end
    example.stop_silent(server)
  end)

  it("takes no notice of clients that go", function()
    for _, request in ipairs {"", "GET / HT", "GET /big.bin HTTP/1.1\r\nHost: x"
      .. "\r\n\r\n"} do
      local sock <close> = example.connect(server)
      sock:sendall(request)
      sock.linger = 0 -- a reset
    end
    assert.are.equal(HELLO, body(talk(server, get "/hello.txt")))
    example.stop_silent(server)
  end)
end)

describe("examples/http.lua", function()
  local http = dofile "examples/http.lua"

  -- What answers to these pieces, sent one after the other, a class of this
  -- answer().
  local function answers(answer, ...)
    local pieces, data = {...}, ""
    loop.run(function()
      local class = csock.class("Some", http.Handler, {answer = answer})
      local server <close> = http.Server({"127.0.0.1", 0}, class)
      local serving = loop.spawn(server.serve_forever, server)
      local sock <close> = csock.create_connection(server.server_address, 5)
      for _, piece in ipairs(pieces) do
        sock:sendall(piece)
        loop.sleep(0.01)
      end
      sock:shutdown(csock.SHUT_WR)
      data = example.drain(sock)
      server:shutdown()
      serving:join()
    end)
    return data
  end

  local request = "GET /x HTTP/1.1\r\nHost: y\r\n\r\n"

  it("knows a request that comes again from one that only begins so", function()
    local function tell(self)
      self:respond(200, "", ("%s %s %s|"):format(self.method, self.target,
        self.headers.host))
    end
    local again = "GET /x HTTP/1.1\r\nHost: y"
    local data = answers(tell, request, request .. again, "yy\r\n\r\n" .. again,
      "\r\n\r\n" .. again, "\r\nConnection: close\r\n\r\n" .. request)
    local bodies = {}
    for text in data:gmatch "\r\n\r\n([^|]*)|" do table.insert(bodies, text) end
    assert.are.same({"GET /x y", "GET /x y", "GET /x yyy", "GET /x y",
      "GET /x y"}, bodies)
    assert.matches("Connection: close", data)
  end)

  it("says goodbye to who asks the same while it ends", function()
    local count = 0
    local data = answers(function(self)
      count = count + 1
      if count == 2 then self.server:shutdown() end
      self:respond(200, "", count .. "|")
    end, request:rep(5))
    assert.are.equal(3, count)
    assert.are.equal(2, select(2, data:gsub("Length: 2\r\n\r\n%d|", "")))
    assert.matches("\r\nConnection: close\r\n\r\n3|$", data)
  end)

  it("tells the length of what it does not send", function()
    local head = answers(function(self) self:respond(200, "", "hello") end,
      "HEAD" .. request:sub(4))
    assert.matches("\r\nContent%-Length: 5\r\n\r\n$", head)
    assert.is_nil(answers(function(self) self:respond(304, "") end, request)
      :find "Length")
  end)
end)

describe("examples/files.lua is understood by", function()
  local server
  local function curl(arguments)
    return example.output(("curl -s %s"):format(arguments:gsub("URL",
      "http://127.0.0.1:" .. server.port)))
  end
  before_each(function() server = serve() end)

  it("curl", function()
    example.need "curl"
    assert.are.equal(HELLO, curl "URL/hello.txt")
    assert.are.equal(HELLO, curl "-0 URL/hello.txt")
    assert.are.equal(HELLO:sub(1, 5), curl "-r 0-4 URL/hello.txt")
    assert.are.equal(HELLO:sub(8), curl "-r 7- URL/hello.txt")
    assert.are.equal("<h1>sub</h1>", curl "-L URL/sub")
    assert.matches("^HTTP/1.1 200 OK\r\n", curl "-I URL/big.bin")
    assert.are.equal("404", curl("-o /dev/null -w '%{http_code}' " ..
      "--path-as-is URL/../etc/passwd"))
    assert.are.equal("405", curl "-o /dev/null -w '%{http_code}' -d a=b URL/")
    assert.are.equal("304", curl(("-o /dev/null -w '%%{http_code}' -z %s " ..
      "URL/hello.txt"):format(helper.quote(server.root .. "/hello.txt"))))
    -- one connection for all
    assert.are.equal("1 0 0 ", curl("-w '%{num_connects} ' -o /dev/null " ..
      "-o /dev/null -o /dev/null URL/hello.txt URL/big.bin URL/nothing"))
    example.stop_silent(server)
  end)

  it("Python's http.client", function()
    example.need "python3"
    local output = example.output("python3 -c " .. helper.quote([[
import http.client
c = http.client.HTTPConnection("127.0.0.1", %d, timeout=5)
for method, path in [("GET", "/hello.txt"), ("HEAD", "/big.bin"),
                     ("GET", "/nothing"), ("GET", "/big.bin")]:
    c.request(method, path)
    r = c.getresponse()
    print(r.status, r.reason, len(r.read()), r.getheader("Content-Length"),
          r.will_close)
]]):format(server.port))
    assert.are.equal("200 OK 14 14 False\n200 OK 0 350000 False\n" ..
      "404 Not Found 14 14 False\n200 OK 350000 350000 False\n", output)
    example.stop_silent(server)
  end)

  it("wrk", function()
    example.need "wrk"
    local output = example.output(("wrk -t1 -c20 -d1 http://127.0.0.1:%d" ..
      "/hello.txt"):format(server.port))
    assert.matches("%d+ requests in ", output)
    assert.is_nil(output:find "Non%-2xx", output)
    assert.is_nil(output:find "Socket errors", output)
    example.stop_silent(server)
  end)
end)
