package console

import (
	"net/http"
)

// contentPolicy allows the console's own files only. Pico draws its arrows as data: images.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// maxForm limits the body of a form.
const maxForm = 1 << 20

// maxUpload limits the body of a form that carries an account file. The API allows a file of 5 MiB.
const maxUpload = 8 << 20

// secure adds the headers of every answer, and refuses what another site could have made a browser send.
func (c *console) secure(next http.Handler) http.Handler {
	origins := http.NewCrossOriginProtection()
	origins.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "This form was sent from another site. Open the console and send it from there.", http.StatusForbidden)
	}))
	checked := origins.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin") // with no-referrer, browsers send "Origin: null"
		h.Set("Strict-Transport-Security", "max-age=31536000")
		h.Set("Cache-Control", "no-store")
		if r.Method == http.MethodPost && r.Header.Get("Sec-Fetch-Site") == "" && r.Header.Get("Origin") == "" {
			http.Error(w, "The browser did not say which site sent this form. Use a current browser.", http.StatusForbidden)
			return
		}
		checked.ServeHTTP(w, r)
	})
}
