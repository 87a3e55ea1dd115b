-- Keeps a request while no server is ready. Its headers wait here; its body stays with the client but for a window of
-- flow control, so a request of 64 MiB takes no more memory than a small one.

-- A question that only a server answers, for each of the two protocols: both have servers of their own to Envoy.
local QUESTIONS = {
  grpc = {
    headers = {
      [":method"] = "POST",
      [":path"] = "/grpc.health.v1.Health/Check",
      [":authority"] = "hold",
      ["content-type"] = "application/grpc",
      ["te"] = "trailers",
    },
    body = "\0\0\0\0\0",
  },
  http = {
    headers = {[":method"] = "GET", [":path"] = "/v2/health/live", [":authority"] = "hold"},
  },
}
local TIMEOUT_MS = 5000

local function protocol_of(headers)
  local content_type = headers:get("content-type") or ""
  return content_type:find("application/grpc", 1, true) == 1 and "grpc" or "http"
end

-- Envoy's own "no" to a gRPC call has its status among the headers, a server's answer has it at the end.
local function is_answer(headers)
  return headers[":status"] == "200" and headers["grpc-status"] == nil
end

-- The header tells the listener in front not to try again: the time was for all tries together.
local function give_up(request, protocol, seconds)
  local text = "No server is ready, and none became ready within " .. seconds .. " s."
  local headers = {[":status"] = "503", ["x-envoy-ratelimited"] = "true"}
  if protocol == "grpc" then
    headers[":status"], headers["content-type"] = "200", "application/grpc"
    headers["grpc-status"], headers["grpc-message"] = "14", text
    text = nil
  end
  request:respond(headers, text)
end

function envoy_on_request(request)
  local protocol = protocol_of(request:headers())
  local question = QUESTIONS[protocol]
  local seconds = request:metadata():get("seconds")
  local deadline = request:timestamp() + 1000 * seconds
  while request:timestamp() < deadline do
    -- the listener "waiting" takes its time to answer
    if is_answer(request:httpCall("waiting", question.headers, question.body, TIMEOUT_MS)) then
      return
    end
  end
  give_up(request, protocol, seconds)
end
