// Package lib has dead and living code.
package lib

// Used is used.
const Used = 1

// Unused is not.
const Unused = 2

// Shape is used, and so are the methods that implement it.
type Shape interface{ Area() float64 }

// Square is used.
type Square struct{}

// Area implements Shape.
func (Square) Area() float64 { return 1 }

// Paint is not used.
func (Square) Paint() {}

// OnlyTested is used by a test.
func OnlyTested() {}

// Helper is allowed.
func Helper() {}

// OnlyTestedByHelpers is used by a package that exists for tests.
func OnlyTestedByHelpers() {}
