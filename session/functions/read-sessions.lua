-- KEYS sessions. Returns Redis' time, the fingerprint and the content of the hash.
local digest, flat = fingerprint(KEYS[1])
return { now(), digest, flat }
