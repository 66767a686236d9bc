package apitest

import (
	"testing"

	"quartermaster/internal/postgres/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestEverythingHasAnID(t *testing.T) {
	t.Parallel()
	for of, id := range New(t).Furnish(t) {
		if id == "" {
			t.Error(of)
		}
	}
}
