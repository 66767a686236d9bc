package console

import (
	"testing"
)

func TestStockPagesLook(t *testing.T) {
	s := setup(t)
	seedStock(t, s)
	for _, v := range []view{desk, deskDark, phone} {
		b := s.open(t, v)
		b.signIn("admin")
		for name, path := range stockPages {
			b.visit("/console/acme/" + path)
			b.keep(name + "-" + v.name)
		}
	}
}
