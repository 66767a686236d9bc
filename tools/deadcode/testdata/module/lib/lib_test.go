package lib_test

import (
	"testing"

	"example/helper"
	"example/lib"
)

func TestOnlyTested(*testing.T) {
	lib.OnlyTested()
	helper.Setup()
}
