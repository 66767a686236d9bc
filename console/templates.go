package console

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"path"
	"strings"
)

// Each file in templates/ is a page that fills the frame of layout.html; those in templates/parts/ are parts that pages share.
//
//go:embed templates
var templateFiles embed.FS

// templates are the parsed pages, by name.
type templates map[string]*template.Template

// functions are what templates may call besides the methods of page.
var functions = template.FuncMap{
	"account":        accountID,
	"accountEntry":   accountHistoryEntry,
	"accountNote":    accountNote,
	"accountState":   accountState,
	"accountStatus":  accountStatus,
	"actorName":      actorName,
	"alertStatus":    alertStatus,
	"batchOutcome":   batchOutcome,
	"batchState":     batchState,
	"callbackStatus": callbackStatus,
	"checkOutcome":   checkOutcome,
	"checkWord":      checkWord,
	"count":          count,
	"deliveryStatus": deliveryStatus,
	"dict":           dict,
	"eventsOf":       eventsOf,
	"fieldLabel":     fieldLabel,
	"goingOn":        goingOn,
	"historyActor":   actorOf,
	"historyLine":    lineOf,
	"host":           host,
	"icon":           icon,
	"importStatus":   importStatus,
	"isCallback":     isCallback,
	"isOfOrder":      isOfOrder,
	"keyEvent":       keyEvent,
	"lastAnswer":     lastAnswer,
	"number":         number,
	"orderState":     orderState,
	"orderStateOf":   orderStateOf,
	"orderStatus":    orderStatus,
	"pathOf":         pathOf,
	"plain":          plain,
	"plot":           plotOf,
	"plural":         plural,
	"policy":         policy,
	"poolStatus":     poolStatus,
	"prose":          prose,
	"questionTitle":  questionTitle,
	"queueLength":    queueLength,
	"reportKind":     reportKind,
	"requestName":    requestName,
	"requested":      requested,
	"resourceWord":   resourceWord,
	"rowOutcome":     rowOutcome,
	"scheduleStatus": scheduleStatus,
	"sentence":       sentence,
	"setting":        settingOf,
	"stepName":       stepName[string],
	"thingStatus":    thingStatus,
	"took":           took,
	"webhookStatus":  webhookStatus,
}

func readTemplates() (templates, error) {
	shared, err := template.New("").Funcs(functions).ParseFS(templateFiles, "templates/parts/*.html", "templates/layout.html")
	if err != nil {
		return nil, err
	}
	files, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		return nil, err
	}
	pages := templates{}
	for _, file := range files {
		own, err := template.Must(shared.Clone()).ParseFS(templateFiles, file)
		if err != nil {
			return nil, err
		}
		pages[strings.TrimSuffix(path.Base(file), ".html")] = own
	}
	return pages, nil
}

// execute writes the page with that name.
func (t templates) execute(out *bytes.Buffer, name string, p *page) error {
	found, ok := t[name]
	if !ok {
		return fmt.Errorf("there is no template %q", name)
	}
	return found.ExecuteTemplate(out, "layout.html", p)
}

// dict makes a map of pairs of name and value, so that a template can pass several values to a part.
func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, errors.New("dict needs pairs")
	}
	made := make(map[string]any, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("dict: %v is not a name", pairs[i])
		}
		made[name] = pairs[i+1]
	}
	return made, nil
}
