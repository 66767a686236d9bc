package pgtest

// Err returns the error of a call whose result the test does not need.
func Err[T any](_ T, err error) error { return err }
