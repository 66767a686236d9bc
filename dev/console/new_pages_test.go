package console

import (
	"fmt"
	"testing"

	"quartermaster/internal/provision"
)

func TestSettingsHistoryAndHealthLook(t *testing.T) {
	s := setup(t)
	s.Seed.Account(t, "111122223333", provision.AccountReady)
	for i, state := range []provision.OrderState{provision.Completed, provision.ActionRequired, provision.Cancelled, provision.WaitingForAccount} {
		s.Seed.Order(t, fmt.Sprintf("MP-2026-%06d", 116+i), state)
	}
	for _, v := range []view{desk, deskDark, phone, phoneDark} {
		b := s.open(t, v)
		b.signIn(provision.RoleAdmin)
		for page, at := range map[string]string{
			"order-new": "orders/new", "settings": "settings", "history": "history", "health": "health", "end-sessions": "settings/end-sessions",
		} {
			b.visit("/console/acme/" + at)
			b.keep(page + "-" + v.name)
		}
	}
}
