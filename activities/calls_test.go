package activities

import (
	"fmt"
	"testing"
)

func TestCallsOfAnOrder(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.mustDo()
	for i, o := range w.operations() {
		fmt.Println(i+1, o)
	}
}
