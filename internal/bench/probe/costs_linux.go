package probe

const hasProcfs = true
