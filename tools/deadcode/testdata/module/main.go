package main

import (
	"fmt"

	"example/lib"
)

func main() {
	var s lib.Shape = lib.Square{}
	fmt.Println(lib.Used, s)
}
