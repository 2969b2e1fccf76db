-- KEYS meta, list, stream. ARGV ttl of meta, whether to write lists, after seq, count, bytes.
-- Returns epoch, seq, first, entries (entry.lua): at least one if there is any, then no more than `bytes` of payload.
local epoch, seq, first, base = openInbox(KEYS[1], KEYS[2], KEYS[3], now(), ARGV[1], ARGV[2])
local count, bytes = tonumber(ARGV[4]), tonumber(ARGV[5])
local from = math.max(tonumber(ARGV[3]) + 1, first)
local entries, size = {}, 0
while from <= seq and #entries < count and size < bytes do
  -- Small steps at first, then as many as are likely to fit: what exceeds the limit has been read in vain.
  local step = 8
  if #entries > 0 then step = math.max(1, math.ceil((bytes - size) / (size / #entries + 1))) end
  step = math.min(step, count - #entries)
  local found = readEntries(KEYS[2], KEYS[3], first, base or seq, from, step)
  if #found == 0 and from > (base or seq) then break end
  if #found == 0 then from = base and base + 1 or seq + 1 end
  for _, entry in ipairs(found) do
    size = size + payloadBytes(entry)
    if #entries > 0 and size > bytes then break end
    entries[#entries + 1] = entry
    from = struct.unpack('>I6', entry) + 1
  end
end
return { epoch, seq, first, entries }
