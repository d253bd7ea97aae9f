C     TRACKS A TIME LOOP IN FORTRAN 77: HEAT SPREADS OVER A PLATE.
C     AN EPOCH IS 500 SWEEPS. OPTIONS ARE ENVIRONMENT VARIABLES.
C       gfortran -O2 heat.f $(pkg-config --libs carbontracker) -o heat
C       CARBONTRACKER_LOCATION=DK ./heat

      PROGRAM HEAT
      INTEGER EPOCHS, N
      PARAMETER (EPOCHS = 20, N = 256)
      REAL PLATE(N, N), NEXT(N, N)
      INTEGER EPOCH, I, J, K, IERR
      DOUBLE PRECISION EJ, CO2, PEJ
      CHARACTER*300 WHY

      DO 20 J = 1, N
         DO 10 I = 1, N
            PLATE(I, J) = 0.0
            NEXT(I, J) = 0.0
   10    CONTINUE
C        ONE HOT EDGE
         PLATE(1, J) = 100.0
         NEXT(1, J) = 100.0
   20 CONTINUE

      CALL CTINIT(EPOCHS, IERR)
      IF (IERR .LT. 0) THEN
         CALL CTERR(WHY)
         WRITE (*, *) 'NOT TRACKED: ', WHY
      END IF
      DO 40 EPOCH = 1, EPOCHS
         CALL CTEBEG(IERR)
         DO 30 K = 1, 250
            CALL SWEEP(PLATE, NEXT, N)
            CALL SWEEP(NEXT, PLATE, N)
   30    CONTINUE
         CALL CTEEND(IERR)
         IF (EPOCH .EQ. 3) THEN
            CALL CTGET(EJ, CO2, PEJ, IERR)
            WRITE (*, 50) 'FORECAST OF THE RUN, J: ', PEJ
         END IF
   40 CONTINUE
      WRITE (*, 50) 'NEAR THE HOT EDGE, C:   ',
     &              PLATE(N/16 + 1, N/2 + 1)

C     -1 MEANS UNKNOWN
      CALL CTGET(EJ, CO2, PEJ, IERR)
      WRITE (*, 50) 'ENERGY, J:              ', EJ
      WRITE (*, 50) 'CO2E, G:                ', CO2
      CALL CTEND(IERR)
   50 FORMAT (1X, A, F12.4)
      END

      SUBROUTINE SWEEP(FROM, TO, N)
      INTEGER N, I, J
      REAL FROM(N, N), TO(N, N)
      DO 20 J = 2, N - 1
         DO 10 I = 2, N - 1
            TO(I, J) = 0.25 * (FROM(I - 1, J) + FROM(I + 1, J)
     &                         + FROM(I, J - 1) + FROM(I, J + 1))
   10    CONTINUE
   20 CONTINUE
      END
