-- Does nothing: Redis checks first whether a function that may write may run (memory, replica, disk, replicas that are missing).
return 1
