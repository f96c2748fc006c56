package stack

import "fmt"

// StartBusyLoops starts programs that take all the processor time that they can get,
// at the usual priority, each in a session of its own as somebody else's work is. They
// end with the folder.
func (f *Folder) StartBusyLoops(n int) error {
	for i := range n {
		if _, err := f.start(command{name: fmt.Sprintf("busy-loop-%d", i+1), path: "/bin/sh", args: []string{"-c", "while :; do :; done"}, dir: f.dir, session: true}); err != nil {
			return err
		}
	}
	return nil
}
