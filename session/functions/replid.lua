-- Returns the replication id of this primary; '' when it has none.
return currentReplid(now())
