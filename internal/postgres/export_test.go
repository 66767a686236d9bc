package postgres

// What the tests of this package see of its inside.
const QueueHeadSQL = queueHeadSQL

// Judged is judged.
var Judged = judged
