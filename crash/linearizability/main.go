// Linearizability tells whether the history of a crash run can be explained by listings that are told one thing at a
// time. The search is Porcupine's; what is here is the model of a listing and the way in and out.
//
// Exit codes: 0 it can, 1 it cannot, 2 not found out in time, 3 the history cannot be read.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"time"

	"github.com/anishathalye/porcupine"
)

const (
	linearizable = iota
	illegal
	undecided
	unreadable
)

// listingSeconds bounds the search in one listing, so that a hard one leaves time for the others.
const listingSeconds = 30

// pictureSeconds bounds the second search, which collects what the picture shows.
const pictureSeconds = 20

func main() {
	seconds := flag.Float64("seconds", 120, "give up after so many, for all listings together")
	pictures := flag.String("pictures", ".", "folder for the pictures of what is illegal")
	flag.Parse()
	os.Exit(run(flag.Arg(0), *pictures, time.Duration(*seconds*float64(time.Second))))
}

func run(path, pictures string, limit time.Duration) int {
	file, err := os.Open(path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return unreadable
	}
	defer file.Close()
	histories, err := read(file)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return unreadable
	}
	giveUpAt := time.Now().Add(limit)
	verdict, operations := linearizable, 0
	for _, one := range histories {
		operations += len(one.operations)
		switch found := porcupine.CheckOperationsTimeout(model(one), one.operations, left(giveUpAt)); found {
		case porcupine.Illegal:
			fmt.Printf("listing %s: ILLEGAL, picture %s\n", one.listing, draw(one, pictures))
			verdict = illegal
		case porcupine.Unknown:
			fmt.Printf("listing %s: not found out in time (%d operations)\n", one.listing, len(one.operations))
			if verdict == linearizable {
				verdict = undecided
			}
		}
	}
	words := map[int]string{linearizable: "linearizable", illegal: "ILLEGAL", undecided: "not found out"}
	fmt.Printf("%d operations on %d listings: %s\n", operations, len(histories), words[verdict])
	return verdict
}

// left is the time for a listing, never none at all: to Porcupine zero means for ever.
func left(then time.Time) time.Duration {
	return max(min(time.Until(then), listingSeconds*time.Second), time.Millisecond)
}

// draw writes the picture of an illegal history and gives its path.
func draw(one *history, folder string) string {
	path := filepath.Join(folder, one.listing+".html")
	_, info := porcupine.CheckOperationsVerbose(model(one), rows(one.operations), pictureSeconds*time.Second)
	if err := porcupine.VisualizePath(model(one), info, path); err != nil {
		return fmt.Sprintf("not drawn: %v", err)
	}
	return path
}

// rows gives operations that overlap rows of their own: a picture's row is a client that does one thing at a time, and
// neither the house nor an open-ended operation is one.
func rows(operations []porcupine.Operation) []porcupine.Operation {
	var free []int64
	drawn := append([]porcupine.Operation{}, operations...)
	sort.Slice(drawn, func(a, b int) bool { return drawn[a].Call < drawn[b].Call })
	for number := range drawn {
		row := 0
		for row < len(free) && free[row] >= drawn[number].Call {
			row++
		}
		if row == len(free) {
			free = append(free, 0)
		}
		free[row] = drawn[number].Return
		drawn[number].ClientId = row
	}
	return drawn
}
