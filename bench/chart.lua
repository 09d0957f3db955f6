-- chart: the ratios of a run as a drawing (SVG) that reads well on a light
-- and on a dark page.  It computes nothing: rows come as run.lua prints them.
-- Invariant: a bar's length is in proportion to its ratio, from zero on.

local WIDTH, LEFT, RIGHT = 760, 220, 170 -- of the whole; of the two margins
local TOP, BAR, GAP, FOOT = 76, 18, 12, 52
local PLOT = WIDTH - LEFT - RIGHT

local STYLE = [[
<style>
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-size: 16px; font-weight: 600 }
  .small { font-size: 11px; fill: #57606a }
  .end { text-anchor: end }
  .middle { text-anchor: middle }
  .csock { fill: #2f6fde }
  .peer { fill: #a3abb5 }
  .grid { stroke: #d0d7de; stroke-width: 1 }
  .one { stroke: #24292f; stroke-width: 1.5 }
  .range { stroke: #24292f; stroke-width: 1; fill: none }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .small { fill: #9198a1 }
    .csock { fill: #5b9bff }
    .peer { fill: #656c76 }
    .grid { stroke: #3d444d }
    .one, .range { stroke: #e6edf3 }
  }
</style>]]

local ENTITIES = {["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;"}

local function text(x, y, class, words)
  return ('<text x="%.1f" y="%.1f" class="%s">%s</text>'):format(
    x, y, class, (words:gsub("[&<>]", ENTITIES)))
end

local function line(class, x1, y1, x2, y2)
  return ('<line class="%s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>')
    :format(class, x1, y1, x2, y2)
end

-- Where the axis ends: room for the reference and for the longest bar.
local function scale_of(rows)
  local longest = 1.1
  for _, row in ipairs(rows) do longest = math.max(longest, row.rate.high) end
  local last = math.min(longest, 3)
  return function(ratio) return LEFT + math.min(ratio, last) / last * PLOT end,
    last
end

local function axis(out, x, last, bottom)
  local step = last > 1.5 and 0.5 or 0.25
  for i = 0, last // step do
    local ratio = i * step
    local class = ratio == 1 and "one" or "grid"
    out[#out + 1] = line(class, x(ratio), TOP - 8, x(ratio), bottom)
    out[#out + 1] = text(x(ratio), bottom + 16, "small middle",
                         ratio == 1 and "1 = C" or ("%g"):format(ratio))
  end
end

local function bar(out, x, y, row, first)
  local rate, base = row.rate, y + BAR - 5
  local class = first and "csock" or "peer"
  if row.label then
    out[#out + 1] = text(8, base, "label", row.label)
  end
  out[#out + 1] = text(LEFT - 8, base, "end", row.server)
  out[#out + 1] = ('<rect class="%s" x="%d" y="%d" width="%.1f" height="%d"/>')
    :format(class, LEFT, y, x(rate.ratio) - LEFT, BAR - 3)
  local middle, low, high = y + (BAR - 3) / 2, x(rate.low), x(rate.high)
  out[#out + 1] = ('<path class="range" d="M%.1f %.1fv6m0-3H%.1fm0-3v6"/>')
    :format(low, middle - 3, high)
  out[#out + 1] = text(WIDTH - RIGHT + 44, base, "end",
                       ("%.2f"):format(rate.ratio))
  out[#out + 1] = text(WIDTH - 16, base, "end",
                       ("%.2f"):format(row.cpu.ratio))
end

-- Each point's rows stand together, csock's first.
local function bars(rows, x)
  local out, y, point = {}, TOP, nil
  for _, row in ipairs(rows) do
    local first = row.point ~= point
    if first and point then y = y + GAP end
    point = row.point
    local label = first and row.point or nil
    bar(out, x, y, {label = label, server = row.server, rate = row.rate,
                    cpu = row.cpu}, row.server == rows[1].server)
    y = y + BAR
  end
  return out, y
end

return function(rows, caption)
  local x, last = scale_of(rows)
  local drawn, bottom = bars(rows, x)
  local height = bottom + FOOT
  local title = "Requests per second, next to a C epoll server"
  local out = {
    ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img">')
      :format(WIDTH, height),
    "<title>" .. title .. "</title>", STYLE,
    text(8, 24, "title", title),
    text(8, 44, "small", "Bar: median ratio; line: lowest to highest round;"
      .. " C connections, S bytes, P messages deep"),
    text(WIDTH - RIGHT + 44, TOP - 14, "small end", "req/s"),
    text(WIDTH - 16, TOP - 14, "small end", "CPU a request"),
  }
  axis(out, x, last, bottom)
  table.move(drawn, 1, #drawn, #out + 1, out)
  out[#out + 1] = text(8, height - 10, "small", caption)
  out[#out + 1] = "</svg>\n"
  return table.concat(out, "\n")
end
