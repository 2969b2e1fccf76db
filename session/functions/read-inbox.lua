-- KEYS meta, inbox. ARGV ttl of meta, after seq, count, bytes.
-- Returns epoch, seq, first, entries: at least one if there is any, then no more than `bytes` of payload.
local epoch, seq, first = openInbox(KEYS[1], KEYS[2], now())
redis.call('PEXPIRE', KEYS[1], ARGV[1])
local count, bytes = tonumber(ARGV[3]), tonumber(ARGV[4])
local from = math.max(tonumber(ARGV[2]) + 1, first)
local entries, size = {}, 0
-- Small steps: what exceeds the limit has been read in vain.
while from <= seq and #entries < count and size < bytes do
  local step = redis.call('XRANGE', KEYS[2], int(from), '+', 'COUNT', math.min(8, count - #entries))
  if #step == 0 then break end
  for _, entry in ipairs(step) do
    size = size + #entry[2][10]
    if #entries > 0 and size > bytes then break end
    entries[#entries + 1] = entry
    from = seqOf(entry) + 1
  end
end
return { epoch, seq, first, entries }
