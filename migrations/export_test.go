package migrations

// UpFS is Up with other files, for what the released ones never do.
var UpFS = up
