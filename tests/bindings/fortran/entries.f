C     THE FORTRAN 77 ENTRIES. CARBONTRACKER_SIM_CPU=X:100.
      PROGRAM ENTRIE
      INTEGER I, IERR
      DOUBLE PRECISION EJ, CO2, PEJ, SUM
      CHARACTER*100 TEXT
      CHARACTER*4 SHORT
      EXTERNAL CHECK
C     NO TRACKER IS STARTED YET
      CALL CTEBEG(IERR)
      CALL CHECK(1, IERR, 1)
      CALL CTGET(EJ, CO2, PEJ, IERR)
      CALL CHECK(2, IERR, 1)
      CALL CHECK(2, NINT(EJ), -1)
      CALL CHECK(2, NINT(CO2), -1)
      CALL CHECK(2, NINT(PEJ), -1)
      CALL CTPROG(1, 2, IERR)
      CALL CHECK(2, IERR, 1)
      CALL CTPBEG('SOLVE', IERR)
      CALL CHECK(2, IERR, 1)
      CALL CTPEND(IERR)
      CALL CHECK(2, IERR, 1)
      CALL CTRPRG(1D0, 2D0, IERR)
      CALL CHECK(2, IERR, 1)
      CALL CTCANC(IERR)
      CALL CHECK(2, IERR, 1)
      CALL CTREP('JSON', 'none.json', IERR)
      CALL CHECK(2, IERR, 1)
      CALL CTVAL('/usage/energy_j', EJ, IERR)
      CALL CHECK(2, IERR, 1)
      CALL CHECK(2, NINT(EJ), -1)
      CALL CTTEXT('/run/name', TEXT, IERR)
      CALL CHECK(2, IERR, 1)
      IF (TEXT .NE. ' ') STOP 2
      CALL CTEND(IERR)
      CALL CHECK(3, IERR, 1)
      CALL CTERR(TEXT)
      IF (TEXT .NE. ' ') STOP 3

      CALL CTINIT(10, IERR)
      CALL CHECK(4, IERR, 0)
      CALL CTINIT(10, IERR)
      CALL CHECK(5, IERR, -2)
      CALL CTERR(TEXT)
      IF (TEXT .NE. 'CTINIT: a tracker exists already; ' //
     &    'call CTEND first') STOP 5
      CALL CTERR(SHORT)
      IF (SHORT .NE. 'CTIN') STOP 5
      CALL CTEEND(IERR)
      CALL CHECK(6, IERR, -2)
      CALL CTERR(TEXT)
      IF (TEXT(1:30) .NE. 'ct_epoch_end: no epoch is open') STOP 6
      CALL CTCANC(IERR)
      CALL CHECK(6, IERR, -2)
      CALL CTPROG(1, 2, IERR)
      CALL CHECK(6, IERR, -2)
      SUM = 0D0
      DO 20 I = 1, 3
         CALL CTEBEG(IERR)
         CALL CHECK(7, IERR, 0)
         CALL CTPROG(0, 1, IERR)
         CALL CHECK(7, IERR, 0)
         CALL CTPBEG('SPIN  ', IERR)
         CALL CHECK(7, IERR, 0)
         CALL SPIN(SUM)
         CALL CTPEND(IERR)
         CALL CHECK(7, IERR, 0)
         CALL CTPROG(1, 1, IERR)
         CALL CHECK(7, IERR, 0)
         CALL CTEEND(IERR)
         CALL CHECK(8, IERR, 0)
   20 CONTINUE
      CALL CTVAL('/run/epochs_done', EJ, IERR)
      CALL CHECK(8, IERR, 0)
      CALL CHECK(8, NINT(EJ), 3)
      CALL CTVAL('/phases/rows/SPIN/entries', EJ, IERR)
      CALL CHECK(8, IERR, 0)
      CALL CHECK(8, NINT(EJ), 3)
      CALL CTPEND(IERR)
      CALL CHECK(8, IERR, -2)
      CALL CTERR(TEXT)
      IF (TEXT(1:30) .NE. 'ct_phase_end: no phase is open') STOP 8
      CALL CTPBEG('   ', IERR)
      CALL CHECK(8, IERR, -1)
      CALL CTPBEG(CHAR(255), IERR)
      CALL CHECK(8, IERR, -1)
      CALL CTVAL('/run/epochs_dome', EJ, IERR)
      CALL CHECK(8, IERR, -1)
      CALL CHECK(8, NINT(EJ), -1)
      CALL CTTEXT('/components/0/source', TEXT, IERR)
      CALL CHECK(8, IERR, 0)
      IF (TEXT .NE. 'simulated') STOP 8
      CALL CTTEXT('/components/0/source', SHORT, IERR)
      CALL CHECK(8, IERR, -3)
      IF (SHORT .NE. 'simu') STOP 8
      CALL CTERR(TEXT)
      IF (TEXT(1:7) .NE. 'CTTEXT:') STOP 8
      CALL CTEBEG(IERR)
      CALL CTPROG(2, 1, IERR)
      CALL CHECK(8, IERR, -1)
      CALL CTPROG(-1, 1, IERR)
      CALL CHECK(8, IERR, -1)
      CALL CTERR(TEXT)
      IF (TEXT(1:7) .NE. 'CTPROG:') STOP 8
      CALL CTRPRG(-1D0, 1D0, IERR)
      CALL CHECK(8, IERR, -1)
      CALL CTERR(TEXT)
      IF (TEXT(1:16) .NE. 'ct_run_progress:') STOP 8
      CALL CTRPRG(0.5D0, 1D0, IERR)
      CALL CHECK(8, IERR, 0)
      CALL CTCANC(IERR)
      CALL CHECK(8, IERR, 0)
      CALL CTGET(EJ, CO2, PEJ, IERR)
      CALL CHECK(9, IERR, 0)
      IF (EJ .LE. 0D0 .OR. CO2 .LE. 0D0 .OR. PEJ .LE. EJ) STOP 9
C     REPORTS
      CALL CTREP('CSV ', 'entries.csv' // '     ', IERR)
      CALL CHECK(12, IERR, 0)
      OPEN (10, FILE = 'entries.csv', STATUS = 'OLD')
      READ (10, '(A)') TEXT
      IF (TEXT(1:12) .NE. 'index,count,') STOP 12
      CLOSE (10, STATUS = 'DELETE')
      CALL CTREP('text', ' ', IERR)
      CALL CHECK(13, IERR, -1)
      CALL CTREP('TXET', 'none.txt', IERR)
      CALL CHECK(14, IERR, -1)
      CALL CTREP('TEXT', '/nowhere/none.txt', IERR)
      CALL CHECK(15, IERR, -5)
      CALL CTERR(TEXT)
      IF (TEXT(1:24) .NE. 'CTREP: /nowhere/none.txt') STOP 15
      CALL CTEND(IERR)
      CALL CHECK(10, IERR, 0)
      CALL CTINIT(0, IERR)
      CALL CHECK(11, IERR, 0)
      CALL CTGET(EJ, CO2, PEJ, IERR)
      CALL CHECK(11, NINT(PEJ), -1)
      CALL CTEND(IERR)
      IF (SUM .GT. 0D0) WRITE (*, 30)
   30 FORMAT ('passed')
      END

      SUBROUTINE SPIN(SUM)
      DOUBLE PRECISION SUM
      INTEGER I
      DO 10 I = 1, 2000000
         SUM = SUM + 1D0/DBLE(I)
   10 CONTINUE
      END

      SUBROUTINE CHECK(LINE, ACTUAL, EXPECT)
      INTEGER LINE, ACTUAL, EXPECT
      IF (ACTUAL .EQ. EXPECT) RETURN
      WRITE (*, *) 'CHECK', LINE, ': STATUS', ACTUAL, ', NOT', EXPECT
      STOP 1
      END
