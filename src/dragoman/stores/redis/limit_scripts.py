"""The Lua scripts of limits that nodes share in Redis.

All state is in one hash, so that a flush, an eviction or a deletion takes all of it or nothing. Its fields:

- `epoch`: the id of this state. A state that was lost is followed by one with another id.
- `began`: when it began; `settled`: whether all nodes have reported what they had borrowed before.
- `u:RULE`, `t:RULE`: `used` and `updated` of a bucket; see `dragoman.limits.table.Counter`.
- `l:RULE`: JSON: the runs that are lent to each worker.
- `w:WORKER`: when its lease ends; `s:WORKER`: the number of its last call.

The id is part of the source of two scripts. Scripts are in the memory of the server and nowhere else, so a server that
was restarted from a file or that replaces another one does not know them: its state is not trusted.

Nodes of two versions use one state during an upgrade. The main script may differ between versions. The mark must not,
and what the fields mean must not, either.
"""

from dragoman.limits.rules import MS_PER_MINUTE
from dragoman.limits.table import MAX_SHARE, SKEW_MS
from dragoman.stores.redis.server import Script

_NOW = """
local now = tonumber(ARGV[1])
if now < 0 then
    local time = redis.call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
end
"""

OPEN = Script(
    _NOW
    + """
-- ARGV: the time or -1; the epoch that is replaced; the new one; whether there has never been one
if (redis.call('HGET', KEYS[1], 'epoch') or '') ~= ARGV[2] then return 0 end
local began = ARGV[4] == '1' and now - MINUTE or now
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'epoch', ARGV[3], 'began', string.format('%.0f', began), 'settled', ARGV[4])
return 1
""".replace("MINUTE", str(MS_PER_MINUTE))
)
"""Begins a new state. Its buckets are empty, unless it is the first: what was in them before is not known."""

_MAIN = (
    (
        "-- epoch EPOCH\n"
        + _NOW
        + """
local key, q = KEYS[1], cjson.decode(ARGV[2])
local function get(field) return redis.call('HGET', key, field) end
local function set(field, value) redis.call('HSET', key, field, string.format('%.0f', value)) end
if get('epoch') ~= 'EPOCH' then return {'lost'} end
local began = tonumber(get('began'))

local function lent_of(rule)
    local lent, changed = cjson.decode(get('l:' .. rule) or '{}'), false
    for worker in pairs(lent) do
        if (tonumber(get('w:' .. worker)) or -1) < now then  -- its lease has ended
            lent[worker], changed = nil, true
        end
    end
    return lent, changed
end
local function save_lent(rule, lent)
    if next(lent) then
        redis.call('HSET', key, 'l:' .. rule, cjson.encode(lent))
    else
        redis.call('HDEL', key, 'l:' .. rule)
    end
end
local function total(rule)
    local lent, changed = lent_of(rule)
    if changed then save_lent(rule, lent) end
    local sum = 0
    for _, amount in pairs(lent) do sum = sum + amount end
    return sum
end
local function level(rule, amount)
    local used, updated = tonumber(get('u:' .. rule)), tonumber(get('t:' .. rule))
    if not used then used, updated = amount * MINUTE, began end
    if now > updated then used = math.max(0, used - (now - updated) * amount) end
    if updated - SKEW < now and now < updated then return used, updated end
    return used, now
end
local function save_level(rule, used, updated)
    if used <= 0 and now - began >= MINUTE then  -- as one that is missing
        redis.call('HDEL', key, 'u:' .. rule, 't:' .. rule)
    else
        set('u:' .. rule, math.max(0, used))
        set('t:' .. rule, updated)
    end
end
-- A rule: {name, whether it is a bucket, amount}. Returns used, held and remaining; see `RuleState`.
local function state(rule)
    if rule[2] then
        local used = math.ceil(level(rule[1], rule[3]) / MINUTE)
        return used, 0, math.max(0, rule[3] - used)
    end
    local held = total(rule[1])
    return 0, held, math.max(0, rule[3] - held)
end

if q.remove then redis.call('HDEL', key, 'w:' .. q.remove, 's:' .. q.remove) end
for _, one in ipairs(q.gone) do
    if tonumber(get('s:' .. one[1])) == one[2] then redis.call('HDEL', key, 'w:' .. one[1], 's:' .. one[1]) end
end
if q.worker then
    local last = tonumber(get('s:' .. q.worker)) or 0
    if q.number <= last then return {'late'} end
    set('s:' .. q.worker, q.number)
    set('w:' .. q.worker, now + q.lease)
    for rule, amount in pairs(q.held) do
        local lent = lent_of(rule)
        lent[q.worker] = amount > 0 and amount or nil
        save_lent(rule, lent)
    end
    for _, one in ipairs(q.given) do
        local used, updated = level(one[1], one[3])
        save_level(one[1], used - one[4] * MINUTE, updated)
    end
end
local settled = get('settled') == '1'
if not settled then
    settled = now - began >= q.settle
    if not settled and q.expected then
        settled = true
        for _, worker in ipairs(q.expected) do settled = settled and get('s:' .. worker) ~= false end
    end
    if settled then set('settled', 1) end
end
local granted = {}
for number, ask in ipairs(q.asks) do
    local used, held, remaining = state(ask)
    if not settled and not ask[2] then
        if ask[4] > 0 then return {'unsettled'} end
        remaining = 0
    end
    if ask[4] > remaining then
        local missing = ask[2] and level(ask[1], ask[3]) + (ask[4] - ask[3]) * MINUTE or 0
        return {'refused', number - 1, used, held, remaining, missing}
    end
    granted[number] = math.min(ask[5], math.max(ask[4], math.floor(remaining / SHARE)))
end
for number, ask in ipairs(q.asks) do
    if ask[2] then
        local used, updated = level(ask[1], ask[3])
        save_level(ask[1], used + granted[number] * MINUTE, updated)
    elseif granted[number] > 0 then
        local lent = lent_of(ask[1])
        lent[q.worker] = (lent[q.worker] or 0) + granted[number]
        save_lent(ask[1], lent)
    end
end
local states = {}
for number, rule in ipairs(q.states) do states[number] = {state(rule)} end
local workers = {}
if q.list then
    for _, name in ipairs(redis.call('HKEYS', key)) do
        if name:sub(1, 2) == 's:' then workers[#workers + 1] = {name:sub(3), tonumber(get(name))} end
    end
end
return {'ok', settled and 1 or 0, granted, states, workers}
"""
    )
    .replace("MINUTE", str(MS_PER_MINUTE))
    .replace("SKEW", str(SKEW_MS))
    .replace("SHARE", str(MAX_SHARE))
)


def mark_script(epoch: str) -> Script:
    """Return the script that says, by being loaded, that the state of an epoch is of this server process."""
    return Script(f"-- epoch {epoch}\nreturn 1")


def main_script(epoch: str) -> Script:
    """Return the script that works on the state of an epoch only.

    `ARGV`: the time in milliseconds, or -1 for the server's clock; and a JSON object:

    - `worker`, `number`, `lease`: who calls, the number of the call, and the milliseconds until its lease ends.
    - `held`: the runs that are lent to it, by the name of the rule. `given`: rules with the amount that is given back.
    - `asks`: rules with what is needed and desired. `states`: rules whose state is returned.
    - `expected`: the workers that must report first; `settle`: milliseconds after which they need not.
    - `remove`: a worker that is gone. `gone`: workers with the number of their last call: those that have called since
      then are not gone.
    - `list`: whether to return the workers with the numbers of their last calls.

    A rule is its name, whether it is a bucket, and its amount. The reply is one of:

    - `ok`, whether the state is settled, what was lent for each ask, used, held and remaining of `states`, and the
      workers;
    - `refused`, the number of the ask, used, held, remaining, and the units that are missing in a bucket;
    - `unsettled`: runs cannot be lent yet. `lost`: there is another epoch. `late`: the call was overtaken by another.
    """
    return Script(_MAIN.replace("EPOCH", epoch))
