package migrations

// Files are the SQL files, and UpFS is Up with other files, which may do what the released ones never do.
var (
	Files = files
	UpFS  = up
)
